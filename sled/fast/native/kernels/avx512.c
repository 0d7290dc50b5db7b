// The kernels for CPUs with AVX-512 and its instructions for bytes.
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,prefer-vector-width=512")
#define NAME(name) sled_##name##_avx512
#include "model.h"
#include "encodec.h"
#include "spectral.h"
