// The decoder of Encodec, fed piece by piece.
//
// Columns are points in time at a layer's own rate, with their channels beside each other, so a
// convolution is a product with overlapping parts of the input. States have the channels first, as
// the layers in torch have them.
//
// Shapes: B streams, T frames, n columns, C channels.

enum { ZEROS, MIRROR, EDGE };  // what is before the first column

// A convolution of `taps` columns; or a transposed one of 2 `stride` columns, whose product with
// the last column goes into the next piece by `tail`.
typedef struct {
    Matrix matrix, tail;
    int taps, stride, num_inputs, num_outputs;
} Convolution;

typedef struct {
    Matrix input, hidden;
} Recurrence;

typedef struct {
    Convolution first, second, shortcut;
    int has_shortcut;
} Residual;

typedef struct {
    int latent, padding, hop;
    int frames_at_once;  // after the recurrences, so that columns stay in the cache
    int num_recurrences, num_ups, num_residuals;  // residuals after each up
    Convolution first, last;
    const Recurrence *recurrences;
    const Convolution *ups;
    const Residual *residuals;
} Decoder;

static void apply_elu(const float *x, int64_t count, float *to) {
    for (int64_t i = 0; i < count; i += LANES) {
        floats value = load(x + i), zero = splat(0);
        store(to + i, maximum(zero, value) + (exponential(minimum(zero, value)) - 1.0f));
    }
}

INLINE floats sigmoid(floats x) { return 1.0f / (1.0f + exponential(-x)); }
INLINE floats hyperbolic_tangent(floats x) { return 2.0f * sigmoid(2.0f * x) - 1.0f; }

// The inputs of a convolution: `count` columns after those before them. Returns where the columns
// go; `begin` is the first of all.
static float *after_past(const Convolution *c, float *begin) {
    return begin + (int64_t)(c->taps - 1) * c->num_inputs;
}

// Convolve columns that lie after the past ones at `begin`. The state is replaced.
static void convolve(Context *context, const Convolution *c, int padding, float *begin, int count,
                     const float *before, float *after, float *outputs) {
    int C = c->num_inputs, past = c->taps - 1;
    const float *x = after_past(c, begin);
    for (int i = 0; i < past; i++)
        for (int channel = 0; channel < C; channel++) {
            float value = before               ? before[channel * past + i]
                          : padding == MIRROR ? x[(int64_t)(past - i) * C + channel]
                          : padding == EDGE   ? x[channel]
                                               : 0;
            begin[(int64_t)i * C + channel] = value;
        }
    multiply(&context->pool, &c->matrix, begin, C, count, NULL, outputs, c->num_outputs, STORE);
    if (after)
        for (int i = 0; i < past; i++)
            for (int channel = 0; channel < C; channel++)
                after[channel * past + i] = begin[(int64_t)(count + i) * C + channel];
}

// The same for a transposed convolution; one column before the inputs is working memory.
static void convolve_up(Context *context, const Convolution *c, float *begin, int count,
                        const float *before, float *after, float *outputs) {
    int C = c->num_inputs, O = c->num_outputs, s = c->stride;
    memset(begin, 0, C * sizeof(float));
    multiply(&context->pool, &c->matrix, begin, C, count, NULL, outputs, s * O, STORE);
    if (before)
        for (int i = 0; i < s; i++)
            for (int channel = 0; channel < O; channel++)
                outputs[i * O + channel] += before[channel * s + i];
    float *tail = outputs + (int64_t)count * s * O;
    multiply(&context->pool, &c->tail, begin + (int64_t)count * C, C, 1, NULL, tail, s * O, STORE);
    for (int i = 0; i < s; i++)
        for (int channel = 0; channel < O; channel++) after[channel * s + i] = tail[i * O + channel];
}

// Run LSTM layers over [B, T, C] in place, and add what went in.
static void recur(Context *context, const Decoder *d, float *x, int streams, int frames,
                  const float *const *before, float *const *after, float *gates, float *y, float *hidden) {
    int C = d->first.num_outputs, L = d->num_recurrences;
    int64_t all = (int64_t)streams * frames * C;
    memcpy(y, x, all * sizeof(float));
    for (int layer = 0; layer < L; layer++) {
        const Recurrence *r = d->recurrences + layer;
        multiply(&context->pool, &r->input, y, C, streams * frames, NULL, gates, 4 * C, STORE);
        for (int b = 0; b < streams; b++)
            for (int i = 0; i < 2; i++) {  // hidden states, cells
                int64_t place = ((int64_t)b * L + layer) * C;
                float *to = after[i] + place;
                if (before) memmove(to, before[i] + place, C * sizeof(float));
                else memset(to, 0, C * sizeof(float));
                if (i == 0) memcpy(hidden + (int64_t)b * C, to, C * sizeof(float));
            }
        for (int t = 0; t < frames; t++) {
            multiply(&context->pool, &r->hidden, hidden, C, streams, NULL, gates + (int64_t)t * 4 * C, frames * 4 * C, ADD);
            for (int b = 0; b < streams; b++) {
                const float *gate = gates + ((int64_t)b * frames + t) * 4 * C;
                float *cell = after[1] + ((int64_t)b * L + layer) * C;
                float *to = y + ((int64_t)b * frames + t) * C;
                for (int i = 0; i < C; i += LANES) {
                    floats kept = sigmoid(load(gate + C + i)) * load(cell + i);
                    floats now = kept + sigmoid(load(gate + i)) * hyperbolic_tangent(load(gate + 2 * C + i));
                    floats out = sigmoid(load(gate + 3 * C + i)) * hyperbolic_tangent(now);
                    store(cell + i, now);
                    store(to + i, out);
                    store(hidden + (int64_t)b * C + i, out);
                }
            }
        }
        for (int b = 0; b < streams; b++)
            memcpy(after[0] + ((int64_t)b * L + layer) * C, hidden + (int64_t)b * C, C * sizeof(float));
    }
    for (int64_t i = 0; i < all; i++) x[i] += y[i];
}

// Decode frames [B, T, D] to samples [B, T hop]. States are in the order of the layers: the first
// convolution, hidden states and cells [B, L, C], for each up its own and those of its residuals,
// the last convolution. Without `before` the streams begin. Returns 0, or 1 without memory.
int NAME(decode)(Context *context, const Decoder *d, const float *frames, int streams, int count,
                 const float *const *before, float *const *after, float *samples) {
    int C = d->first.num_outputs, at_once = count < d->frames_at_once ? count : d->frames_at_once;
    int64_t widest = 0, columns = at_once;
    for (int i = 0; i < d->num_ups; i++) {
        int64_t wide = (columns + 16) * d->ups[i].num_inputs;
        columns *= d->ups[i].stride;
        int64_t after_up = (columns + 16 + 2 * d->ups[i].stride) * d->ups[i].num_outputs;
        if (wide > widest) widest = wide;
        if (after_up > widest) widest = after_up;
    }
    int past = d->first.taps > d->last.taps ? d->first.taps : d->last.taps;
    for (int i = 0; i < d->num_ups * d->num_residuals; i++)
        if (d->residuals[i].first.taps > past) past = d->residuals[i].first.taps;
    widest += (int64_t)(past + 16) * C;
    int64_t all = (int64_t)streams * count;
    int64_t numbers = (all + 16) * 6 * C + (int64_t)(count + past) * d->latent + 4 * widest + (int64_t)streams * C;
    if (!reserve_memory(context, numbers * sizeof(float) + 4096)) return 1;
    float *x = take(context, sizeof(float) * (all + 16) * C);
    float *y = take(context, sizeof(float) * (all + 16) * C);
    float *gates = take(context, sizeof(float) * all * 4 * C);
    float *hidden = take(context, sizeof(float) * streams * C);
    float *window = take(context, sizeof(float) * (count + past) * d->latent);
    float *buffers[4];
    for (int i = 0; i < 4; i++) buffers[i] = take(context, sizeof(float) * widest);
    begin_call(&context->pool, 1);

    const Convolution *first = &d->first;
    int64_t first_size = (int64_t)(first->taps - 1) * first->num_inputs;
    for (int b = 0; b < streams; b++) {
        memcpy(after_past(first, window), frames + (int64_t)b * count * d->latent, sizeof(float) * count * d->latent);
        convolve(context, first, d->padding, window, count, before ? before[0] + b * first_size : NULL,
                 after[0] + b * first_size, x + (int64_t)b * count * C);
    }
    if (d->num_recurrences) recur(context, d, x, streams, count, before ? before + 1 : NULL, after + 1, gates, y, hidden);

    for (int b = 0; b < streams; b++)
        for (int start = 0; start < count; start += at_once) {
            const float *const *past_states = start ? (const float *const *)after : before;
            int n = count - start < at_once ? count - start : at_once;
            float *current = buffers[0], *shifted = buffers[1], *inner = buffers[2], *sum = buffers[3];
            int state = d->num_recurrences ? 3 : 1, width = C;
            memcpy(current, x + ((int64_t)b * count + start) * C, sizeof(float) * n * C);
#define STATE(states, size) ((states) ? (states)[state] + (int64_t)b * (size) : NULL)
            for (int i = 0; i < d->num_ups; i++) {
                const Convolution *up = d->ups + i;
                int64_t size = (int64_t)up->stride * up->num_outputs;
                apply_elu(current, (int64_t)n * width, shifted + width);
                convolve_up(context, up, shifted, n, STATE(past_states, size), STATE(after, size), current);
                n *= up->stride;
                width = up->num_outputs;
                state++;
                for (int j = 0; j < d->num_residuals; j++, state++) {
                    const Residual *r = d->residuals + i * d->num_residuals + j;
                    size = (int64_t)(r->first.taps - 1) * width;
                    apply_elu(current, (int64_t)n * width, after_past(&r->first, shifted));
                    convolve(context, &r->first, d->padding, shifted, n, STATE(past_states, size), STATE(after, size), inner);
                    apply_elu(inner, (int64_t)n * r->first.num_outputs, inner);
                    if (r->has_shortcut) {
                        multiply(&context->pool, &r->shortcut.matrix, current, width, n, NULL, sum, width, STORE);
                        float *swapped = current;
                        current = sum;
                        sum = swapped;
                    }
                    multiply(&context->pool, &r->second.matrix, inner, r->first.num_outputs, n, NULL, current, width, ADD);
                }
            }
            int64_t size = (int64_t)(d->last.taps - 1) * width;
            apply_elu(current, (int64_t)n * width, after_past(&d->last, shifted));
            convolve(context, &d->last, d->padding, shifted, n, STATE(past_states, size), STATE(after, size),
                     samples + ((int64_t)b * count + start) * d->hop);
#undef STATE
        }
    end_call(&context->pool);
    return 0;
}
