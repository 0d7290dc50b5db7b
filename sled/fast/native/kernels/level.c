// What this library was made of, and what this CPU can run. Compiled without special instructions.

// The digest of the sources, which setup.py sets.
const char *sled_sources(void) { return SLED_SOURCES; }

int sled_level(void) {
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vnni")
               ? 512
               : 2;
}
