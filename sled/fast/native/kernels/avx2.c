// The kernels for CPUs with AVX2.
#pragma GCC target("avx2,fma,f16c")
#define NAME(name) sled_##name##_avx2
#include "model.h"
#include "encodec.h"
#include "spectral.h"
