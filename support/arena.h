/* arena.h - bump allocator with one failure point.
 *
 * All memory of a compilation comes from a few arenas, freed in one place.
 * Nothing here returns NULL: out of memory, and a budget that is exceeded,
 * jump to the handler that compile.c installed, so that no caller needs an
 * error path. Blocks are zeroed and aligned to 16 bytes (64 for large ones).
 */
#ifndef MCUFC_ARENA_H
#define MCUFC_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

typedef struct Arena Arena;

/* Where allocation failure goes. `handler` is set once per thread of
 * control by the outermost caller; `limit` bounds the sum of all arenas in
 * bytes (0: no bound); `fail_at` makes allocation number N fail in tests. */
typedef struct ArenaOom {
    jmp_buf handler;
    size_t used, limit;
    size_t wanted;              /* the request that failed, in bytes */
    long count, fail_at;
} ArenaOom;

Arena *arena_new(ArenaOom *oom);
/* an arena for a shorter while; freed with `a` at the latest */
Arena *arena_child(Arena *a);
void arena_free(Arena *a);      /* frees the arena and all of its blocks */
void arena_reset(Arena *a);     /* frees the blocks, keeps the arena */

void *arena_alloc(Arena *a, size_t bytes);
void *arena_array(Arena *a, size_t n, size_t size); /* overflow-checked */
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
void *arena_memdup(Arena *a, const void *p, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
size_t arena_bytes(const Arena *a);

#define NEW(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define NEW_ARRAY(a, T, n) ((T *)arena_array((a), (size_t)(n), sizeof(T)))

/* Room for one more element of an arena-owned array (doubling). */
void *arena_grow(Arena *a, void *old, int n, int *cap, size_t size);
#define PUSH(a, arr, n, cap, x)                                          \
    ((arr) = arena_grow((a), (arr), (n), &(cap), sizeof *(arr)),         \
     (arr)[(n)++] = (x))

#endif
