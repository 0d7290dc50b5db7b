// The kernels for CPUs with AMX, which multiplies tiles of bytes. Empty if the compiler is too old.
#include "compiler.h"
#ifdef TILES
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,amx-tile,amx-int8,prefer-vector-width=512")
#define NAME(name) sled_##name##_amx
#include "model.h"
#include "encodec.h"
#include "spectral.h"
#endif
