/* How many bytes the process has allocated, the library's included: it uses the same allocator. */
#ifndef METER_H
#define METER_H

#include <stddef.h>

/* 1 where something counts: glibc 2.33 or newer, or AddressSanitizer. Valgrind's allocator does not count. */
#if defined(__SANITIZE_ADDRESS__)
#define METER 1
/* Of sanitizer/allocator_interface.h, which not every system has beside the library. */
#ifdef __cplusplus
extern "C"
#endif
    size_t
    __sanitizer_get_current_allocated_bytes(void);
static inline size_t allocated(void) { return __sanitizer_get_current_allocated_bytes(); }
#elif defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
#include <malloc.h>
#define METER 1
static inline size_t allocated(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
#else
#define METER 0
static inline size_t allocated(void) { return 0; }
#endif

/*
 * From 512 rounds on a leak of one allocation per round exceeds the limit: the smallest takes 16 bytes. What a thread
 * has freed and keeps for itself counts as allocated, some kilobytes at most. The library's threads allocate their
 * memory when they first take part, which may be late: hence several attempts.
 */
enum { METER_ATTEMPTS = 3, METER_BYTES_PER_ROUND = 8, METER_BYTES_OF_THREADS = 4096 };
static inline size_t meter_limit(size_t rounds) { return rounds * METER_BYTES_PER_ROUND + METER_BYTES_OF_THREADS; }

#endif
