// Threads that share the parts of a job. Between two calls of the library they sleep; within one
// they wait busily, since the next job comes within microseconds.

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Work)(void *job, int part);

typedef struct Pool Pool;

typedef struct {
    Pool *pool;
    int number;
    pthread_t thread;
} Helper;

struct Pool {
    int num_threads;  // the caller's included
    Helper *helpers;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    atomic_int num_used;  // helpers in the current call; 0 between calls
    int ended;
    // The number of the job in the upper half, how many of its parts are left in the lower.
    atomic_uint_fast64_t ticket;
    atomic_int done;
    Work work;
    void *job;
};

// Do one part of the current job, if one is left.
static int do_part(Pool *pool) {
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    int left = (int)(uint32_t)ticket;
    if (!left) return 0;
    // These may be of a later job, but then the exchange fails.
    Work work = pool->work;
    void *job = pool->job;
    if (!atomic_compare_exchange_strong(&pool->ticket, &ticket, ticket - 1)) return 1;
    work(job, left - 1);
    atomic_fetch_add_explicit(&pool->done, 1, memory_order_release);
    return 1;
}

static void *help(void *argument) {
    Helper *helper = argument;
    Pool *pool = helper->pool;
    for (;;) {
        pthread_mutex_lock(&pool->mutex);
        while (helper->number >= atomic_load(&pool->num_used) && !pool->ended)
            pthread_cond_wait(&pool->wake, &pool->mutex);
        int ended = pool->ended;
        pthread_mutex_unlock(&pool->mutex);
        if (ended) return NULL;
        while (helper->number < atomic_load_explicit(&pool->num_used, memory_order_relaxed))
            if (!do_part(pool)) __builtin_ia32_pause();
    }
}

static void open_pool(Pool *pool, int num_threads) {
    memset(pool, 0, sizeof *pool);
    pool->num_threads = 1;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->helpers = calloc(num_threads, sizeof(Helper));
    for (int i = 0; pool->helpers && i + 1 < num_threads; i++) {
        Helper *helper = pool->helpers + i;
        *helper = (Helper){.pool = pool, .number = i};
        if (pthread_create(&helper->thread, NULL, help, helper)) break;
        pool->num_threads++;
    }
}

static void close_pool(Pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    pool->ended = 1;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i + 1 < pool->num_threads; i++) pthread_join(pool->helpers[i].thread, NULL);
    free(pool->helpers);
}

// A call begins, which computes with at most so many threads.
static void begin_call(Pool *pool, int num_threads) {
    int helpers = (num_threads < pool->num_threads ? num_threads : pool->num_threads) - 1;
    if (helpers < 1) return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->num_used, helpers);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static void end_call(Pool *pool) { atomic_store(&pool->num_used, 0); }

// Do all parts of a job. A thread that does not run leaves its parts to the others.
static void do_job(Pool *pool, Work work, void *job, int count) {
    if (!atomic_load(&pool->num_used) || count == 1) {
        for (int part = 0; part < count; part++) work(job, part);
        return;
    }
    uint64_t number = (atomic_load(&pool->ticket) >> 32) + 1;
    pool->work = work;
    pool->job = job;
    atomic_store(&pool->done, 0);
    atomic_store_explicit(&pool->ticket, number << 32 | (uint32_t)count, memory_order_release);
    while (do_part(pool)) {
    }
    while (atomic_load_explicit(&pool->done, memory_order_acquire) < count) __builtin_ia32_pause();
}
