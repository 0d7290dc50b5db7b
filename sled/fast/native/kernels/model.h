// Steps of the model: reading positions, drawing latents. The including file names the functions.
//
// Shapes: P positions of a call, R rows, H hidden width, A heads, d head width, I width of the MLP,
// C capacity of the cache, U utterances, V draws, N noise width, W head width, D latent width.

#include "layers.h"

typedef struct {
    Matrix qkv, out, gate_up, down;
    const float *attention_norm, *mlp_norm;
} Layer;

typedef struct {
    const float *norm_gain, *norm_shift;  // [W] of the noise
    Matrix modulation, first, second;
} Block;

typedef struct {
    int hidden, heads, kv_heads, head_dim, inner, num_layers;
    float epsilon;
    int cache_kind;            // FLOAT, HALF or BYTES
    const float *cos, *sin;    // [positions, d]
    const float *final_norm;
    const Layer *layers;
    Matrix unit;
    const float *unit_gain, *unit_shift;  // [H]
    int width, noise, latent, num_blocks;
    float head_epsilon;
    Matrix noise_input, hidden_input, final_modulation, final;
    const Block *blocks;
} Model;

// A row of the cache: element strides of keys and values [layers, A_kv, C, d]. Those in bytes have
// scales [layers, A_kv, C], whose strides are d times smaller.
typedef struct {
    void *keys, *values;
    float *key_scales, *value_scales;
    int64_t layer_stride, head_stride;
} CachedRow;

typedef struct {
    const Model *model;
    Pool pool;
    Rounded rounded;
    char *memory;
    size_t size, used;
} Context;

Context *NAME(open)(const Model *model, int num_threads) {
    Context *context = calloc(1, sizeof(Context));
    if (!context) return NULL;
    context->model = model;
    open_pool(&context->pool, num_threads);
    return context;
}

void NAME(close)(Context *context) {
    close_pool(&context->pool);
    free(context->memory);
    free(context);
}

// Working memory of a call. `reserve_memory` comes before `take`.
static int reserve_memory(Context *context, size_t size) {
    context->used = 0;
    if (size <= context->size) return 1;
    free(context->memory);
    context->size = 0;
    context->memory = aligned_alloc(64, (size + 63) / 64 * 64);
    if (context->memory) context->size = size;
    return context->memory != NULL;
}
static void *take(Context *context, size_t size) {
    void *taken = context->memory + context->used;
    context->used += (size + 127) / 64 * 64;
    return taken;
}
// Rounded inputs of products. AMX reads whole tiles of them, also behind the last position.
static size_t size_rounded(size_t count, size_t widest) {
    return (count + MOST_ROWS) * (3 * widest + 16) + 512;
}
static void take_rounded(Context *context, size_t count, size_t widest) {
    context->rounded.bytes = take(context, (count + MOST_ROWS) * (widest + 8));
    context->rounded.scales = take(context, count * (widest / 4 + 1) * sizeof(float));
    context->rounded.sums = take(context, count * (widest / 4 + 1) * sizeof(int));
}

typedef struct {
    const Model *model;
    float *qkv, *attended;
    const int *rows, *positions;
    const CachedRow *cache;
    int layer;  // its number
} Attention;

#define MOST (256 / LANES)  // vectors of the widest head
#define PART 256            // positions that are attended to at once, a multiple of 16

INLINE floats load_cached(const void *from, int64_t i, int kind) {
    return kind == HALF    ? load_half((const uint16_t *)from + i)
           : kind == BYTES ? load_bytes((const int8_t *)from + i)
                           : load((const float *)from + i);
}

// The keys or values of a head of a row.
typedef struct {
    const void *numbers;
    const float *scales;  // of bytes
} Past;

// One head of one position attends to `count` positions, part by part. Weights are relative to the
// largest score so far.
INLINE void attend(const float *query, Past keys, Past values, int count, int width, int kind,
                   float *output) {
    float scores[PART] __attribute__((aligned(64)));
    float largest = -INFINITY;
    floats total = splat(0);
    floats q[MOST], mixed[2][MOST] = {{{0}}};
    for (int i = 0; i < width / LANES; i++) q[i] = load(query + i * LANES);
    for (int start = 0; start < count; start += PART) {
        int here = count - start < PART ? count - start : PART, p;
        int64_t first = (int64_t)start * width;
        for (p = 0; p < here; p += 4) {
            floats sums[4];
            for (int j = 0; j < 4; j++) {
                int at = p + j < here ? p + j : here - 1;
                sums[j] = splat(0);
                for (int i = 0; i < width / LANES; i++)
                    sums[j] += q[i] * load_cached(keys.numbers, first + at * width + i * LANES, kind);
                if (kind == BYTES) sums[j] *= keys.scales[start + at];
            }
            _mm_store_ps(scores + p, four_sums(sums[0], sums[1], sums[2], sums[3]));
        }
        for (p = here; p % 16; p++) scores[p] = -INFINITY;
        floats most = splat(-INFINITY);
        for (p = 0; p < here; p += LANES) most = maximum(most, load(scores + p));
        float before = largest, now = largest_of(most);
        if (now > largest) {
            largest = now;
            floats factor = exponential(splat(before - largest));
            total *= factor;
            for (int j = 0; j < 2; j++)
                for (int i = 0; i < width / LANES; i++) mixed[j][i] *= factor;
        }
        for (p = 0; p < here; p += LANES) {
            floats weight = exponential(load(scores + p) - largest);
            total += weight;
            store(scores + p, weight);
        }
        if (kind == BYTES)
            for (p = 0; p < here; p++) scores[p] *= values.scales[start + p];
        for (p = 0; p < here; p += 2)
            for (int j = 0; j < 2 && p + j < here; j++)
                for (int i = 0; i < width / LANES; i++) {
                    int64_t place = first + (p + j) * width + i * LANES;
                    mixed[j][i] += scores[p + j] * load_cached(values.numbers, place, kind);
                }
    }
    float factor = 1 / sum_of(total);
    for (int i = 0; i < width / LANES; i++)
        store(output + i * LANES, (mixed[0][i] + mixed[1][i]) * factor);
}

INLINE int number_size(int kind) { return kind == FLOAT ? 4 : kind == HALF ? 2 : 1; }

// A head of a row in the layer, from a position on.
INLINE CachedRow cached_head(const Attention *a, int row, int head, int position) {
    CachedRow part = a->cache[row];
    int kind = a->model->cache_kind, width = a->model->head_dim;
    int64_t by = a->layer * part.layer_stride + head * part.head_stride + (int64_t)position * width;
    part.keys = (char *)part.keys + by * number_size(kind);
    part.values = (char *)part.values + by * number_size(kind);
    if (kind == BYTES) {
        part.key_scales += by / width;
        part.value_scales += by / width;
    }
    return part;
}

static void attend_part(void *job, int part) {
    const Attention *a = job;
    const Model *m = a->model;
    int d = m->head_dim, kind = m->cache_kind, position = part / m->heads, head = part % m->heads;
    int qkv_width = (m->heads + 2 * m->kv_heads) * d;
    int kv_head = head / (m->heads / m->kv_heads), count = a->positions[position] + 1;
    CachedRow past = cached_head(a, a->rows[position], kv_head, 0);
    const float *query = a->qkv + (int64_t)position * qkv_width + head * d;
    float *output = a->attended + ((int64_t)position * m->heads + head) * d;
    Past keys = {past.keys, past.key_scales}, values = {past.values, past.value_scales};
    if (d == 64 && kind == BYTES)
        attend(query, keys, values, count, 64, BYTES, output);
    else if (d == 64 && kind == HALF)
        attend(query, keys, values, count, 64, HALF, output);
    else if (d == 64)
        attend(query, keys, values, count, 64, FLOAT, output);
    else
        attend(query, keys, values, count, d, kind, output);
}

// Keep a key or value [d] in one of the kinds; bytes have a scale.
static void keep(const float *from, int width, int kind, void *to, float *scale) {
    if (kind == FLOAT) {
        memcpy(to, from, width * sizeof(float));
    } else if (kind == HALF) {
        for (int i = 0; i < width; i += LANES) store_half((uint16_t *)to + i, load(from + i));
    } else {
        floats most = splat(0), zeros = splat(0);
        for (int i = 0; i < width; i += LANES) {
            most = maximum(most, maximum(load(from + i), -load(from + i)));
            zeros += 0 * load(from + i);
        }
        float largest = largest_of(most), factor = largest > 0 ? 127 / largest : 0;
        for (int i = 0; i < width; i += LANES) store_bytes((int8_t *)to + i, load(from + i) * factor);
        // Not a number if the input is not finite: errors must not be hidden.
        *scale = largest / 127 + sum_of(zeros);
    }
}

// Rotate queries and keys of a position, scale the queries, and store keys and values.
static void place_part(void *job, int p) {
    const Attention *a = job;
    const Model *m = a->model;
    int d = m->head_dim, half = d / 2, rotated = m->heads + m->kv_heads;
    float *x = a->qkv + (int64_t)p * (m->heads + 2 * m->kv_heads) * d;
    const float *cos = m->cos + (int64_t)a->positions[p] * d, *sin = m->sin + (int64_t)a->positions[p] * d;
    float scale = 1 / sqrtf(d);
    for (int head = 0; head < rotated; head++) {
        float *line = x + head * d, factor = head < m->heads ? scale : 1;
        for (int i = 0; i < half; i++) {
            float first = line[i], second = line[i + half];
            line[i] = (first * cos[i] - second * sin[i]) * factor;
            line[i + half] = (second * cos[i + half] + first * sin[i + half]) * factor;
        }
    }
    for (int head = 0; head < m->kv_heads; head++) {
        CachedRow to = cached_head(a, a->rows[p], head, a->positions[p]);
        const float *key = x + (m->heads + head) * d;
        keep(key, d, m->cache_kind, to.keys, to.key_scales);
        keep(key + m->kv_heads * d, d, m->cache_kind, to.values, to.value_scales);
    }
}

// Read positions: `x` [P, H] are their inputs, `rows` and `positions` [P] where they are in the
// cache. The hidden states of R of them, numbered by `last`, go to `hidden` [R, H]. Returns 0, or
// 1 without memory.
int NAME(advance)(Context *context, int num_threads, const float *inputs, int count, const int *rows,
                   const int *positions, const int *last, int num_last, const CachedRow *cache,
                   float *hidden) {
    const Model *m = context->model;
    int H = m->hidden, d = m->head_dim, widest = m->inner > H ? m->inner : H;
    int qkv_width = (m->heads + 2 * m->kv_heads) * d;
    if (m->heads * d > widest) widest = m->heads * d;
    size_t numbers = (size_t)count * (2 * H + qkv_width + m->heads * d + m->inner + BLOCK);
    if (!reserve_memory(context, numbers * sizeof(float) + size_rounded(count, widest) + 4096)) return 1;
    float *x = take(context, sizeof(float) * count * H);
    float *normed = take(context, sizeof(float) * count * H);
    float *qkv = take(context, sizeof(float) * count * qkv_width);
    float *attended = take(context, sizeof(float) * count * m->heads * d);
    float *gated = take(context, sizeof(float) * count * m->inner);
    Attention attention = {m, qkv, attended, rows, positions, cache, 0};
    take_rounded(context, count, widest);
    Rounded *rounded_inputs = &context->rounded;
    Pool *pool = &context->pool;
    memcpy(x, inputs, sizeof(float) * count * H);
    begin_call(pool, num_threads);
    for (int number = 0; number < m->num_layers; number++) {
        const Layer *layer = m->layers + number;
        attention.layer = number;
        normalize(x, layer->attention_norm, m->epsilon, H, count, normed);
        multiply(pool, &layer->qkv, normed, H, count, rounded_inputs, qkv, qkv_width, STORE);
        do_job(pool, place_part, &attention, count);
        do_job(pool, attend_part, &attention, count * m->heads);
        multiply(pool, &layer->out, attended, m->heads * d, count, rounded_inputs, x, H, ADD);
        normalize(x, layer->mlp_norm, m->epsilon, H, count, normed);
        multiply(pool, &layer->gate_up, normed, H, count, rounded_inputs, gated, m->inner, GATE);
        multiply(pool, &layer->down, gated, m->inner, count, rounded_inputs, x, H, ADD);
    }
    end_call(pool);
    for (int r = 0; r < num_last; r++)
        normalize(x + (int64_t)last[r] * H, m->final_norm, m->epsilon, H, 1, hidden + (int64_t)r * H);
    return 0;
}

// Draw latents [U, D] of hidden states [U, H]: means over V draws with noise [V, N], which belong
// to the utterances `owner` [V] and count `weight` [V]. Returns 0, or 1 without memory.
int NAME(draw)(Context *context, int num_threads, const float *hidden, int num_hidden, const float *noise, int count,
                const int *owner, const float *weight, float *latents) {
    const Model *m = context->model;
    int W = m->width, widest = W > m->hidden ? W : m->hidden;
    if (m->noise > widest) widest = m->noise;
    size_t most = count > num_hidden ? count : num_hidden;
    size_t numbers = (size_t)(count * 7 + 2 * num_hidden) * W;
    if (!reserve_memory(context, numbers * sizeof(float) + size_rounded(most, widest) + 4096)) return 1;
    float *conditions = take(context, sizeof(float) * num_hidden * W);
    float *means = take(context, sizeof(float) * num_hidden * W);
    float *y = take(context, sizeof(float) * count * W);
    float *x = take(context, sizeof(float) * count * W);
    float *inner = take(context, sizeof(float) * count * W);
    float *modulation = take(context, sizeof(float) * count * 3 * W);
    float *branch = take(context, sizeof(float) * count * W);
    take_rounded(context, most, widest);
    Rounded *rounded = &context->rounded;
    Pool *pool = &context->pool;
    begin_call(pool, num_threads);
    multiply(pool, &m->hidden_input, hidden, m->hidden, num_hidden, rounded, conditions, W, STORE);
    multiply(pool, &m->noise_input, noise, m->noise, count, rounded, y, W, STORE);
    for (int v = 0; v < count; v++) memcpy(x + (int64_t)v * W, conditions + (int64_t)owner[v] * W, sizeof(float) * W);
    for (int number = 0; number <= m->num_blocks; number++) {
        const Block *block = number < m->num_blocks ? m->blocks + number : NULL;
        int parts = block ? 3 : 2;
        for (int v = 0; v < count; v++) {
            float *to = inner + (int64_t)v * W;
            memcpy(to, y + (int64_t)v * W, sizeof(float) * W);
            if (block) normalize_layer(to, block->norm_gain, block->norm_shift, m->head_epsilon, W, to);
            for (int i = 0; i < W; i += LANES) store(to + i, silu(load(to + i)));
        }
        const Matrix *matrix = block ? &block->modulation : &m->final_modulation;
        multiply(pool, matrix, inner, W, count, rounded, modulation, parts * W, STORE);
        for (int v = 0; v < count; v++) {
            const float *shift = modulation + (int64_t)v * parts * W;
            normalize_layer(x + (int64_t)v * W, shift + W, shift, m->head_epsilon, W, inner + (int64_t)v * W);
        }
        if (!block) break;
        multiply(pool, &block->first, inner, W, count, rounded, branch, W, STORE);
        for (int64_t i = 0; i < (int64_t)count * W; i += LANES) store(branch + i, silu(load(branch + i)));
        multiply(pool, &block->second, branch, W, count, rounded, inner, W, STORE);
        for (int v = 0; v < count; v++)
            for (int i = 0; i < W; i += LANES) {
                int64_t place = (int64_t)v * W + i;
                floats gate = load(modulation + (int64_t)v * 3 * W + 2 * W + i);
                store(x + place, load(x + place) + gate * load(inner + place));
            }
    }
    // The last product is linear, so the means are taken before it.
    memset(means, 0, sizeof(float) * num_hidden * W);
    for (int v = 0; v < count; v++)
        for (int i = 0; i < W; i += LANES) {
            float *to = means + (int64_t)owner[v] * W + i;
            store(to, load(to) + weight[v] * load(inner + (int64_t)v * W + i));
        }
    multiply(pool, &m->final, means, W, num_hidden, rounded, latents, m->latent, STORE);
    end_call(pool);
    return 0;
}

// Input embeddings [P, H] of latents [P, D].
int NAME(embed)(Context *context, const float *latents, int count, float *embeddings) {
    const Model *m = context->model;
    if (!reserve_memory(context, size_rounded(count, m->latent))) return 1;
    take_rounded(context, count, m->latent);
    begin_call(&context->pool, 1);
    multiply(&context->pool, &m->unit, latents, m->latent, count, &context->rounded, embeddings, m->hidden, STORE);
    for (int p = 0; p < count; p++) {
        float *line = embeddings + (int64_t)p * m->hidden;
        normalize_layer(line, m->unit_gain, m->unit_shift, m->head_epsilon, m->hidden, line);
    }
    return 0;
}
