// What this library was made of, and what this CPU can run. Compiled without special instructions.

#include <cpuid.h>
#include <unistd.h>

#include "compiler.h"

#ifdef TILES
#include <sys/syscall.h>

// Linux keeps the registers of AMX for processes that ask.
enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };

static int can_multiply_tiles(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    int has_tiles = d >> 24 & 1, has_bytes = d >> 25 & 1;
    return has_tiles && has_bytes && !syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
}
#else
static int can_multiply_tiles(void) { return 0; }
#endif

// The digest of the sources, which setup.py sets.
const char *sled_sources(void) { return SLED_SOURCES; }

// The best of the levels: 0 for none, 1 AVX2, 2 AVX-512, 3 AMX.
int sled_level(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C)) return 0;
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return 0;
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vnni")))
        return 1;
    return can_multiply_tiles() ? 3 : 2;
}
