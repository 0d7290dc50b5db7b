// Vectors of sixteen numbers for AVX-512, or of eight for AVX2. The including file sets the target.

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif

typedef float floats __attribute__((vector_size(LANES * 4)));
typedef int32_t ints __attribute__((vector_size(LANES * 4)));
typedef float loose_floats __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE floats load(const float *from) { return *(const loose_floats *)from; }
INLINE void store(float *to, floats x) { *(loose_floats *)to = x; }
INLINE floats splat(float x) { return (floats){0} + x; }
// The larger one; b if one of them is not a number.
INLINE floats maximum(floats a, floats b) {
    ints greater = a > b;
    return (floats)((greater & (ints)a) | (~greater & (ints)b));
}
INLINE floats minimum(floats a, floats b) { return -maximum(-a, -b); }

#ifdef __AVX512F__

INLINE floats load_half(const uint16_t *from) {
    return (floats)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
}
INLINE void store_half(uint16_t *to, floats x) {
    __m256i halves = _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256((__m256i *)to, halves);
}
INLINE floats load_bytes(const int8_t *from) {
    return (floats)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from)));
}
INLINE ints load_codes(const uint8_t *from) { return (ints)_mm512_loadu_si512(from); }
// Add to each lane the products of its four codes (0 to 255) with the four signed bytes of `x`.
INLINE ints add_products(ints sum, ints codes, int32_t x) {
    return (ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, _mm512_set1_epi32(x));
}
INLINE floats to_floats(ints x) { return (floats)_mm512_cvtepi32_ps((__m512i)x); }
INLINE __m256 fold(floats x, __m256 (*join)(__m256, __m256)) {
    __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd((__m512d)x, 1));
    return join(_mm512_castps512_ps256((__m512)x), high);
}
// Round to signed bytes; values are between -127 and 127.
INLINE void store_bytes(int8_t *to, floats x) {
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32((__m512)x)));
}

#else

INLINE floats load_half(const uint16_t *from) {
    return (floats)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from));
}
INLINE void store_half(uint16_t *to, floats x) {
    _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
}
INLINE floats load_bytes(const int8_t *from) {
    return (floats)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from)));
}
INLINE ints load_codes(const uint8_t *from) {
    return (ints)_mm256_loadu_si256((const __m256i *)from);
}
INLINE ints add_products(ints sum, ints codes, int32_t x) {
    __m256i bytes = _mm256_set1_epi32(x), loaded = (__m256i)codes;
    __m256i odd_bytes = _mm256_srai_epi16(bytes, 8);
    __m256i even_bytes = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
    __m256i even = _mm256_and_si256(loaded, _mm256_set1_epi16(255));
    __m256i odd = _mm256_srli_epi16(loaded, 8);
    return sum + (ints)_mm256_madd_epi16(even, even_bytes) + (ints)_mm256_madd_epi16(odd, odd_bytes);
}
INLINE floats to_floats(ints x) { return (floats)_mm256_cvtepi32_ps((__m256i)x); }
INLINE __m256 fold(floats x, __m256 (*join)(__m256, __m256)) {
    (void)join;
    return (__m256)x;
}
INLINE void store_bytes(int8_t *to, floats x) {
    for (int i = 0; i < LANES; i++) to[i] = (int8_t)lrintf(x[i]);
}

#endif

INLINE __m256 add_halves(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
INLINE __m256 larger_halves(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
INLINE __m128 quarter_sums(floats x) {
    __m256 half = fold(x, add_halves);
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
// The sums of four vectors.
INLINE __m128 four_sums(floats a, floats b, floats c, floats d) {
    __m128 w = quarter_sums(a), x = quarter_sums(b), y = quarter_sums(c), z = quarter_sums(d);
    _MM_TRANSPOSE4_PS(w, x, y, z);
    return _mm_add_ps(_mm_add_ps(w, x), _mm_add_ps(y, z));
}
INLINE float sum_of(floats x) {
    __m128 quarter = quarter_sums(x);
    __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}
INLINE float largest_of(floats x) {
    __m256 half = fold(x, larger_halves);
    __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}

// The exponential function, to about one unit in the last place (Cephes' polynomial). What is not a
// number stays so: broken weights must not become speech.
INLINE floats exponential(floats x) {
    x = maximum(splat(-87.0f), minimum(splat(88.0f), x));
    const float to_integer = 12582912.0f;  // 1.5 * 2^23: the sum's last bits are the integer
    floats shifted = x * 1.44269504f + to_integer;
    floats n = shifted - to_integer;
    floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
    floats p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return p * (floats)(((ints)shifted + 127) << 23);
}
INLINE floats silu(floats x) { return x / (1.0f + exponential(-x)); }
