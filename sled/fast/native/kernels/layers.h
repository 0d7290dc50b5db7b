// The layers of the model: products with packed matrices, norms, attention.
//
// Shapes: P positions of a call, K inputs and N outputs of a product, d head width.

#include <limits.h>

#include "pool.h"
#include "vectors.h"

#define BLOCK 64                // most outputs of a matrix that are stored together
#define VECTORS (BLOCK / LANES)
#define TILE 6                  // most positions that are multiplied at once

enum { FLOAT = 0, HALF = 1, BYTES = 2, NIBBLES = 3 };

// A matrix [N, K], in blocks of 64 outputs. Floats and halves: [N / 64, K, 64]. Codes of weights, in
// bytes with 128 for zero: [N / 64, K / 4, 64, 4]; in nibbles with 8 for zero: [N / 64, K / 8, 64, 4],
// where a byte holds the codes of inputs k and, in its upper half, k + 4. K is padded to a multiple
// of 8. Codes have scales [N / 64, groups, 64] for groups of inputs, whose size is a multiple of 8.
// Blocks of a matrix of floats with few outputs may have 16 or 32 instead of 64.
typedef struct {
    const void *weights;
    const float *scales;
    const float *bias;  // [N], padded to whole blocks
    int num_outputs, num_inputs;
    int kind, group, block;
} Matrix;

// Inputs of a product in bytes, with a scale for each group.
typedef struct {
    int8_t *bytes;
    float *scales;
    int *sums;
    int width, num_groups;  // K, padded, and groups of a position
} Rounded;

// What is done with outputs: they are stored or added, or a gate multiplies what it was made for.
enum { STORE, ADD, GATE };

typedef struct {
    const Matrix *matrix;
    const float *inputs;
    const Rounded *rounded;
    float *outputs;
    int num_positions, input_stride, output_stride, then, blocks_of_part;
    int rows_of_tile;  // positions in a tile of AMX; 0: it is not used
} Product;

// Vectors of outputs that are summed at once, as many as fit into the registers.
#ifdef __AVX512F__
#define PASS(rows) 4
#else
#define PASS(rows) ((rows) == 1 ? 8 : (rows) <= 3 ? 4 : 2)
#endif

#define AHEAD 4096  // bytes by which weights are fetched before they are read

INLINE void fetch(const uint8_t *weights) { _mm_prefetch(weights + AHEAD, _MM_HINT_T1); }

INLINE void multiply_floats(const Matrix *matrix, const void *weights, int half, const float *x,
                            int stride, int width, int rows, float *tile) {
    const int vectors = width / LANES, pass = vectors < PASS(rows) ? vectors : PASS(rows);
    for (int start = 0; start < vectors; start += pass) {
        floats sums[TILE][VECTORS] = {{{0}}};
        for (int k = 0; k < matrix->num_inputs; k++)
            for (int c = 0; c < pass; c++) {
                long place = (long)k * width + (start + c) * LANES;
                floats w = half ? load_half((const uint16_t *)weights + place)
                                : load((const float *)weights + place);
                for (int r = 0; r < rows; r++) sums[r][c] += w * x[r * stride + k];
            }
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < pass; c++)
                store(tile + r * BLOCK + (start + c) * LANES, sums[r][c]);
    }
}

// Four inputs of a position, from `k` on.
INLINE int32_t four_inputs(const Rounded *x, int position, int k) {
    int32_t four;
    memcpy(&four, x->bytes + (long)position * x->width + k, 4);
    return four;
}

// Add the products with groups `from` to `until` of the inputs to a tile of outputs. The weights are
// bytes, or nibbles.
INLINE void multiply_codes(int nibbles, const uint8_t *weights, const float *scales,
                           const Rounded *x, int group, int from, int until, int first, int rows,
                           float *tile) {
    const int pass = PASS(rows), zero = nibbles ? 8 : 128;
    for (int g = from; g < until; g++)
        for (int start = 0; start < VECTORS; start += pass) {
            int begin = g * group, end = begin + group < x->width ? begin + group : x->width;
            ints sums[TILE][VECTORS] = {{{0}}};
            for (int k = begin; k < end; k += nibbles ? 8 : 4) {
                const uint8_t *line = weights + k * BLOCK / (1 + nibbles) + start * LANES * 4;
                for (int c = 0; c < pass; c++) fetch(line + c * LANES * 4);
                for (int c = 0; c < pass; c++) {
                    ints codes = load_codes(line + c * LANES * 4), later = (codes >> 4) & 0x0f0f0f0f;
                    if (nibbles) codes &= 0x0f0f0f0f;
                    for (int r = 0; r < rows; r++) {
                        sums[r][c] = add_products(sums[r][c], codes, four_inputs(x, first + r, k));
                        if (nibbles)
                            sums[r][c] = add_products(sums[r][c], later, four_inputs(x, first + r, k + 4));
                    }
                }
            }
            for (int c = 0; c < pass; c++) {
                floats scale = load(scales + g * BLOCK + (start + c) * LANES);
                for (int r = 0; r < rows; r++) {
                    int place = (first + r) * x->num_groups + g;
                    float *to = tile + r * BLOCK + (start + c) * LANES;
                    ints exact = sums[r][c] - zero * x->sums[place];
                    store(to, load(to) + to_floats(exact) * (scale * x->scales[place]));
                }
            }
        }
}

INLINE void multiply_groups(int nibbles, const uint8_t *weights, const float *scales,
                            const Rounded *x, int group, int from, int until, int first, int rows,
                            float *tile) {
#define MULTIPLY(rows) multiply_codes(nibbles, weights, scales, x, group, from, until, first, rows, tile)
    switch (rows) {
        case 1: MULTIPLY(1); break;
        case 2: MULTIPLY(2); break;
        case 3: MULTIPLY(3); break;
        case 4: MULTIPLY(4); break;
        case 5: MULTIPLY(5); break;
        default: MULTIPLY(6);
    }
#undef MULTIPLY
}

static void multiply_bytes(const uint8_t *weights, const float *scales, const Rounded *x, int group,
                           int from, int until, int first, int rows, float *tile) {
    multiply_groups(0, weights, scales, x, group, from, until, first, rows, tile);
}

static void multiply_nibbles(const uint8_t *weights, const float *scales, const Rounded *x, int group,
                             int from, int until, int first, int rows, float *tile) {
    multiply_groups(1, weights, scales, x, group, from, until, first, rows, tile);
}

#ifdef __AMX_INT8__
#include "tiles.h"
#else
#define TILES_FROM INT_MAX
#define MOST_ROWS TILE
#endif

INLINE void multiply_rows(const Product *p, int block, int first, int rows, float *tile) {
    const Matrix *m = p->matrix;
    const float *x = p->inputs + (long)first * p->input_stride;
    int stride = p->input_stride;
    long start = (long)block * m->block * m->num_inputs;
    const float *numbers = (const float *)m->weights + start;
    if (m->kind == HALF)
        multiply_floats(m, (const uint16_t *)m->weights + start, 1, x, stride, 64, rows, tile);
    else if (m->block == 64)
        multiply_floats(m, numbers, 0, x, stride, 64, rows, tile);
    else if (m->block == 32)
        multiply_floats(m, numbers, 0, x, stride, 32, rows, tile);
    else
        multiply_floats(m, numbers, 0, x, stride, 16, rows, tile);
}

// Multiply a block of outputs of a matrix of bytes or nibbles.
static void multiply_rounded(const Product *p, int block, int first, int rows, float *tile) {
    const Matrix *m = p->matrix;
    const Rounded *x = p->rounded;
    long size = (long)BLOCK * x->width / (m->kind == NIBBLES ? 2 : 1);
    const uint8_t *weights = (const uint8_t *)m->weights + block * size;
    const float *scales = m->scales + (long)block * x->num_groups * BLOCK;
#ifdef __AMX_INT8__
    if (p->rows_of_tile) {
        multiply_tiles(weights, scales, x, m->group, first, rows, p->rows_of_tile, tile);
        return;
    }
#endif
    for (int i = 0; i < rows * BLOCK; i += LANES) store(tile + i, splat(0));
    if (m->kind == NIBBLES)
        multiply_nibbles(weights, scales, x, m->group, 0, x->num_groups, first, rows, tile);
    else
        multiply_bytes(weights, scales, x, m->group, 0, x->num_groups, first, rows, tile);
}

static int has_codes(const Matrix *m) { return m->kind == BYTES || m->kind == NIBBLES; }

// Multiply positions by a block of outputs: at most 6, in tiles 32.
static void multiply_tile(const Product *p, int block, int first, int rows, float *tile) {
    if (has_codes(p->matrix))
        multiply_rounded(p, block, first, rows, tile);
    else
        switch (rows) {
            case 1: multiply_rows(p, block, first, 1, tile); break;
            case 2: multiply_rows(p, block, first, 2, tile); break;
            case 3: multiply_rows(p, block, first, 3, tile); break;
            case 4: multiply_rows(p, block, first, 4, tile); break;
            case 5: multiply_rows(p, block, first, 5, tile); break;
            default: multiply_rows(p, block, first, 6, tile);
        }
    int width = p->matrix->block;
    if (p->matrix->bias)
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < width; c += LANES) {
                float *to = tile + r * BLOCK + c;
                store(to, load(to) + load(p->matrix->bias + block * width + c));
            }
}

static void finish_tile(const Product *p, int block, int first, int rows, const float *tile) {
    int width = p->matrix->block, start = block * width;
    int left = p->matrix->num_outputs - start;
    if (left < width) width = left;
    for (int r = 0; r < rows; r++) {
        float *to = p->outputs + (long)(first + r) * p->output_stride + start;
        const float *from = tile + r * BLOCK;
        if (p->then == ADD)
            for (int i = 0; i < width; i++) to[i] += from[i];
        else
            memcpy(to, from, width * sizeof(float));
    }
}

// Blocks of gates take turns with the blocks that they multiply.
static void finish_gated(const Product *p, int pair, int first, int rows,
                         float (*tiles)[MOST_ROWS * BLOCK]) {
    int start = pair * BLOCK, left = p->matrix->num_outputs / 2 - start;
    for (int r = 0; r < rows; r++) {
        float gated[BLOCK];
        for (int c = 0; c < BLOCK; c += LANES) {
            int place = r * BLOCK + c;
            store(gated + c, silu(load(tiles[0] + place)) * load(tiles[1] + place));
        }
        float *to = p->outputs + (long)(first + r) * p->output_stride + start;
        memcpy(to, gated, (left < BLOCK ? left : BLOCK) * sizeof(float));
    }
}

// Blocks of outputs; gates and what they multiply begin with a block each.
static int count_blocks(const Matrix *m, int then) {
    int width = m->block, outputs = then == GATE ? m->num_outputs / 2 : m->num_outputs;
    return (outputs + width - 1) / width * (1 + (then == GATE));
}

static void multiply_part(void *job, int part) {
    const Product *p = job;
    int gated = p->then == GATE, step = 1 + gated, num_blocks = count_blocks(p->matrix, p->then);
    int start = part * p->blocks_of_part, end = start + p->blocks_of_part;
    int most = p->rows_of_tile ? MOST_ROWS : TILE;
    int passes = (p->num_positions + most - 1) / most;
    int rows = (p->num_positions + passes - 1) / passes;
    float tiles[2][MOST_ROWS * BLOCK] __attribute__((aligned(64)));
#ifdef __AMX_INT8__
    if (p->rows_of_tile) shape_tiles(p->rows_of_tile);
#endif
    for (int block = start; block < end && block < num_blocks; block += step)
        for (int first = 0; first < p->num_positions; first += rows) {
            int left = p->num_positions - first, here = left < rows ? left : rows;
            for (int i = 0; i < step; i++) multiply_tile(p, block + i, first, here, tiles[i]);
            if (gated)
                finish_gated(p, block / 2, first, here, tiles);
            else
                finish_tile(p, block, first, here, tiles[0]);
        }
#ifdef __AMX_INT8__
    if (p->rows_of_tile) _tile_release();
#endif
}

// Round positions to bytes, group by group.
static void round_inputs(const Matrix *m, const float *x, int stride, int count, Rounded *to) {
    to->width = (m->num_inputs + 7) / 8 * 8;
    to->num_groups = (m->num_inputs + m->group - 1) / m->group;
    for (int p = 0; p < count; p++)
        for (int g = 0; g < to->num_groups; g++) {
            int start = g * m->group, end = start + m->group;
            if (end > m->num_inputs) end = m->num_inputs;
            const float *from = x + (long)p * stride;
            int8_t *bytes = to->bytes + (long)p * to->width;
            int sum = 0, i = start;
            floats most = splat(0), zeros = splat(0);
            for (; i + LANES <= end; i += LANES) {
                most = maximum(most, maximum(load(from + i), -load(from + i)));
                zeros += 0 * load(from + i);
            }
            float largest = largest_of(most), zero = sum_of(zeros);
            for (; i < end; i++) {
                largest = fmaxf(largest, fabsf(from[i]));
                zero += 0 * from[i];
            }
            float factor = largest > 0 ? 127 / largest : 0;
            for (i = start; i + LANES <= end; i += LANES) store_bytes(bytes + i, load(from + i) * factor);
            for (; i < end; i++) bytes[i] = (int8_t)lrintf(from[i] * factor);
            for (i = start; i < end; i++) sum += bytes[i];
            for (; i < to->width && i < start + m->group; i++) bytes[i] = 0;
            // Not a number if an input is not finite: errors must not be hidden.
            to->scales[p * to->num_groups + g] = largest / 127 + zero;
            to->sums[p * to->num_groups + g] = sum;
        }
}

// Multiply positions [P, K] by a matrix.
static void multiply(Pool *pool, const Matrix *m, const float *x, int input_stride, int count,
                     Rounded *rounded, float *outputs, int output_stride, int then) {
    if (!count) return;
    if (has_codes(m)) round_inputs(m, x, input_stride, count, rounded);
    int num_blocks = count_blocks(m, then), step = 1 + (then == GATE);
    int helpers = atomic_load(&pool->num_used), parts = helpers ? 4 * (helpers + 1) : 1;
    int of_part = (num_blocks + parts - 1) / parts;
    of_part = (of_part + step - 1) / step * step;
    int rows_of_tile = 0;
    if (m->kind == BYTES && count >= TILES_FROM) {
        int passes = (count + MOST_ROWS - 1) / MOST_ROWS, rows = (count + passes - 1) / passes;
        rows_of_tile = rows > MOST_ROWS / 2 ? (rows + 1) / 2 : rows;
    }
    Product product = {m, x, rounded, outputs, count, input_stride, output_stride, then, of_part, rows_of_tile};
    do_job(pool, multiply_part, &product, (num_blocks + of_part - 1) / of_part);
}

// RMS norm of positions [P, width].
static void normalize(const float *x, const float *gain, float epsilon, int width, int count, float *to) {
    for (int p = 0; p < count; p++, x += width, to += width) {
        floats squares = splat(0);
        for (int i = 0; i < width; i += LANES) squares += load(x + i) * load(x + i);
        float factor = 1 / sqrtf(sum_of(squares) / width + epsilon);
        for (int i = 0; i < width; i += LANES) store(to + i, load(x + i) * factor * load(gain + i));
    }
}

// Layer norm of one position, times `gain`, plus `shift`.
static void normalize_layer(const float *x, const float *gain, const float *shift, float epsilon,
                            int width, float *to) {
    floats sums = splat(0), squares = splat(0);
    for (int i = 0; i < width; i += LANES) sums += load(x + i);
    float mean = sum_of(sums) / width;
    for (int i = 0; i < width; i += LANES) squares += (load(x + i) - mean) * (load(x + i) - mean);
    float factor = 1 / sqrtf(sum_of(squares) / width + epsilon);
    for (int i = 0; i < width; i += LANES)
        store(to + i, (load(x + i) - mean) * factor * load(gain + i) + load(shift + i));
}
