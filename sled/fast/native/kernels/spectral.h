// The network of a spectral codec's decoder, fed piece by piece: latents to what its sound source
// takes.
//
// Columns are points in time with their channels beside each other. States have the channels first,
// as the layers in torch have them.
//
// Shapes: B streams, T latents, D latent width, n columns, W channels, I channels inside a block.

typedef struct {
    const float *taps, *bias;  // [taps, W], [W] of the convolution of each channel
    const float *norm_gain, *norm_shift;
    Matrix expand, reduce;
    const float *scale;  // [W]
} ConvNext;

typedef struct {
    Convolution first;
    Matrix widen;  // [columns W, W]: the columns of a latent
    const float *norm_gain, *norm_shift;
    int width, inner, taps, columns, num_blocks;
    const ConvNext *blocks;
    const float *last_gain, *last_shift;
    Matrix last;
} SpectralNetwork;

#define LAYER_EPSILON 1e-5f

static void normalize_columns(const float *x, const float *gain, const float *shift, int width,
                              int64_t count, float *to) {
    for (int64_t i = 0; i < count; i++)
        normalize_layer(x + i * width, gain, shift, LAYER_EPSILON, width, to + i * width);
}

// x (1 + erf(x / sqrt 2)) / 2, with erf to 2e-7 (Abramowitz and Stegun, 7.1.26).
INLINE floats gelu(floats x) {
    floats y = x * 0.70710678f, size = maximum(y, -y);
    floats t = 1.0f / (1.0f + 0.3275911f * size);
    floats p = splat(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    floats tail = p * t * exponential(-size * size);  // 1 - erf(size)
    ints negative = y < 0;
    floats half = 0.5f * tail, share = 1.0f - half;
    share = (floats)((negative & (ints)half) | (~negative & (ints)share));
    return x * share;
}

// The columns of a stream, convolved channel by channel. `window` is working memory for the columns
// with those before them.
static void convolve_channels(const ConvNext *block, int width, int taps, const float *x, int count,
                              const float *before, float *after, float *window, float *to) {
    int past = taps - 1;
    for (int i = 0; i < past; i++)
        for (int channel = 0; channel < width; channel++)
            window[(int64_t)i * width + channel] = before ? before[channel * past + i] : 0;
    memcpy(window + (int64_t)past * width, x, sizeof(float) * count * width);
    for (int i = 0; i < count; i++)
        for (int c = 0; c < width; c += LANES) {
            floats sum = load(block->bias + c);
            for (int k = 0; k < taps; k++)
                sum += load(block->taps + (int64_t)k * width + c) * load(window + (int64_t)(i + k) * width + c);
            store(to + (int64_t)i * width + c, sum);
        }
    for (int i = 0; i < past; i++)
        for (int channel = 0; channel < width; channel++)
            after[channel * past + i] = window[(int64_t)(count + i) * width + channel];
}

// Latents [B, T, D] to columns [B, T columns, outputs]. States are those of the first convolution,
// [B, D, its taps - 1], and of each block, [B, W, taps - 1]. Without `before` the streams begin.
// Returns 0, or 1 without memory.
int NAME(filter)(Context *context, const SpectralNetwork *s, const float *latents, int streams, int count,
                 const float *const *before, float *const *after, float *columns) {
    int W = s->width, D = s->first.num_inputs, n = count * s->columns;
    int64_t all = (int64_t)streams * n, window = (int64_t)(n + s->taps) * W;
    int64_t first_window = (int64_t)(count + s->first.taps) * D;
    int64_t numbers = all * (3 * W + s->inner) + window + first_window;
    if (!reserve_memory(context, numbers * sizeof(float) + 4096)) return 1;
    float *x = take(context, sizeof(float) * all * W), *y = take(context, sizeof(float) * all * W);
    float *z = take(context, sizeof(float) * all * W);
    float *inner = take(context, sizeof(float) * all * s->inner);
    float *past = take(context, sizeof(float) * window), *start = take(context, sizeof(float) * first_window);
    begin_call(&context->pool, 1);

    for (int b = 0; b < streams; b++) {
        int64_t size = (int64_t)(s->first.taps - 1) * D;
        memcpy(after_past(&s->first, start), latents + (int64_t)b * count * D, sizeof(float) * count * D);
        convolve(context, &s->first, ZEROS, start, count, before ? before[0] + b * size : NULL,
                 after[0] + b * size, y + (int64_t)b * count * W);
    }
    multiply(&context->pool, &s->widen, y, W, streams * count, NULL, x, s->columns * W, STORE);
    normalize_columns(x, s->norm_gain, s->norm_shift, W, all, x);
    for (int i = 0; i < s->num_blocks; i++) {
        const ConvNext *block = s->blocks + i;
        for (int b = 0; b < streams; b++) {
            int64_t size = (int64_t)(s->taps - 1) * W, place = (int64_t)b * n * W;
            convolve_channels(block, W, s->taps, x + place, n, before ? before[1 + i] + b * size : NULL,
                              after[1 + i] + b * size, past, y + place);
        }
        normalize_columns(y, block->norm_gain, block->norm_shift, W, all, z);
        multiply(&context->pool, &block->expand, z, W, (int)all, NULL, inner, s->inner, STORE);
        for (int64_t j = 0; j < all * s->inner; j += LANES) store(inner + j, gelu(load(inner + j)));
        multiply(&context->pool, &block->reduce, inner, s->inner, (int)all, NULL, y, W, STORE);
        for (int64_t j = 0; j < all; j++)
            for (int c = 0; c < W; c += LANES)
                store(x + j * W + c, load(x + j * W + c) + load(block->scale + c) * load(y + j * W + c));
    }
    normalize_columns(x, s->last_gain, s->last_shift, W, all, y);
    multiply(&context->pool, &s->last, y, W, (int)all, NULL, columns, s->last.num_outputs, STORE);
    end_call(&context->pool);
    return 0;
}
