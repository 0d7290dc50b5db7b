// Products of bytes in AMX, for many positions: 16 positions by 64 inputs by 16 outputs at once.
// Sums are the same as those of `multiply_bytes`, bit by bit.

#define SIDE 16                    // positions and outputs of a tile
#define DEPTH 64                   // inputs of a tile
#define MOST_ROWS (2 * SIDE)       // positions of a pass over the weights
#define TILES_FROM 7               // positions for which it is faster

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64))) TileShapes;

// Tiles 0 and 1 hold inputs of `rows` positions each, 2 and 3 weights, 4 to 7 sums.
static void shape_tiles(int rows) {
    TileShapes shapes = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        shapes.row_bytes[tile] = 64;
        shapes.rows[tile] = tile == 2 || tile == 3 ? SIDE : rows;
    }
    _tile_loadconfig(&shapes);
}

// The weights of the inputs of a tile.
INLINE void fetch_depth(const uint8_t *weights) {
    for (int i = 0; i < DEPTH * BLOCK; i += 64) fetch(weights + i);
}

static void clear_sums(void) {
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
}

static void store_sums(int (*sums)[SIDE][SIDE]) {
    _tile_stored(4, sums[0], SIDE * 4);
    _tile_stored(5, sums[1], SIDE * 4);
    _tile_stored(6, sums[2], SIDE * 4);
    _tile_stored(7, sums[3], SIDE * 4);
}

// Add the sums of 16 outputs for `rows` positions, in group `g`, to a tile of outputs.
INLINE void add_sums(const int (*sums)[SIDE], const float *scales, const Rounded *x, int first,
                     int rows, int g, float *to) {
    for (int r = 0; r < rows; r++) {
        int place = (first + r) * x->num_groups + g;
        ints exact = *(const ints *)sums[r] - 128 * x->sums[place];
        float *line = to + r * BLOCK;
        store(line, load(line) + to_floats(exact) * (load(scales) * x->scales[place]));
    }
}

// Multiply positions by a block of outputs. Each tile has `rows` of them; what lies behind the last
// position is read, too.
static void multiply_tiles(const uint8_t *weights, const float *scales, const Rounded *x, int group,
                           int first, int count, int rows, float *tile) {
    int sums[4][SIDE][SIDE] __attribute__((aligned(64)));
    const int8_t *inputs = x->bytes + (long)first * x->width;
    const int8_t *others = inputs + (long)rows * x->width;
    int two = count > rows;
    for (int i = 0; i < count * BLOCK; i += LANES) store(tile + i, splat(0));
    for (int g = 0; g < x->num_groups; g++) {
        int begin = g * group, end = begin + group < x->width ? begin + group : x->width;
        const float *scale = scales + g * BLOCK;
        if ((end - begin) % DEPTH) {  // the last group
            for (int r = 0; r < count; r += TILE)
                multiply_bytes(weights, scales, x, group, g, g + 1, first + r,
                               count - r < TILE ? count - r : TILE, tile + r * BLOCK);
        } else if (two) {
            for (int half = 0; half < BLOCK; half += 2 * SIDE) {
                clear_sums();
                for (int k = begin; k < end; k += DEPTH) {
                    const uint8_t *codes = weights + k * BLOCK + half * 4;
                    if (!half) fetch_depth(codes);
                    _tile_loadd(0, inputs + k, x->width);
                    _tile_loadd(2, codes, BLOCK * 4);
                    _tile_dpbsud(4, 0, 2);
                    _tile_loadd(3, codes + SIDE * 4, BLOCK * 4);
                    _tile_dpbsud(5, 0, 3);
                    _tile_loadd(1, others + k, x->width);
                    _tile_dpbsud(6, 1, 2);
                    _tile_dpbsud(7, 1, 3);
                }
                store_sums(sums);
                for (int c = 0; c < 2; c++) {
                    int place = half + c * SIDE;
                    add_sums(sums[c], scale + place, x, first, rows, g, tile + place);
                    add_sums(sums[2 + c], scale + place, x, first + rows, count - rows, g,
                             tile + rows * BLOCK + place);
                }
            }
        } else {
            clear_sums();
            for (int k = begin; k < end; k += DEPTH) {
                const uint8_t *codes = weights + k * BLOCK;
                fetch_depth(codes);
                _tile_loadd(0, inputs + k, x->width);
                _tile_loadd(2, codes, BLOCK * 4);
                _tile_dpbsud(4, 0, 2);
                _tile_loadd(3, codes + SIDE * 4, BLOCK * 4);
                _tile_dpbsud(5, 0, 3);
                _tile_loadd(2, codes + 2 * SIDE * 4, BLOCK * 4);
                _tile_dpbsud(6, 0, 2);
                _tile_loadd(3, codes + 3 * SIDE * 4, BLOCK * 4);
                _tile_dpbsud(7, 0, 3);
            }
            store_sums(sums);
            for (int c = 0; c < 4; c++)
                add_sums(sums[c], scale + c * SIDE, x, first, count, g, tile + c * SIDE);
        }
    }
}
