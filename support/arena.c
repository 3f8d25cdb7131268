/* arena.c - bump allocator: chunks in a list, large blocks in their own. An
 * arena that has grown takes its memory in pieces as large as the system's
 * large pages: reading a long text or model is otherwise page faults. */
#include "arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CHUNK = 64 * 1024, LARGE = 16 * 1024, ALIGN = 64 };
enum { PAGE = 2 * 1024 * 1024, GROWN = 4 * PAGE };

typedef struct Chunk {
    struct Chunk *next;
    size_t cap, used;
} Chunk;

struct Arena {
    ArenaOom *oom;
    Chunk *chunks;              /* the first one is being filled */
    size_t bytes;
    Arena *parent, *children, *sibling;
};

static void fail(ArenaOom *oom, size_t bytes)
{
    oom->wanted = bytes;
    longjmp(oom->handler, 1);
}

static size_t head_bytes(void)
{
    return (sizeof(Chunk) + ALIGN - 1) / ALIGN * ALIGN;
}

static void *pages(size_t bytes)
{
    void *p = aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE);

#ifdef MADV_HUGEPAGE
    if (p)
        (void)madvise(p, bytes / PAGE * PAGE, MADV_HUGEPAGE);
#endif
    return p;
}

static Chunk *chunk_new(Arena *a, size_t cap)
{
    ArenaOom *oom = a->oom;
    size_t total = head_bytes() + cap;
    Chunk *c = NULL;

    oom->count++;
    if (oom->count != oom->fail_at &&
        !(oom->limit && (total > oom->limit || oom->used > oom->limit - total)))
        c = total >= PAGE
                ? pages(total)
                : aligned_alloc(ALIGN, (total + ALIGN - 1) / ALIGN * ALIGN);
    if (!c)
        fail(oom, cap);
    c->next = NULL;
    c->cap = cap;
    c->used = 0;
    oom->used += total;
    a->bytes += total;
    return c;
}

Arena *arena_new(ArenaOom *oom)
{
    Arena *a = calloc(1, sizeof *a);

    if (!a)
        fail(oom, sizeof *a);
    a->oom = oom;
    return a;
}

Arena *arena_child(Arena *a)
{
    Arena *c = arena_new(a->oom);

    c->parent = a;
    c->sibling = a->children;
    a->children = c;
    return c;
}

void arena_reset(Arena *a)
{
    while (a->children)
        arena_free(a->children);
    while (a->chunks) {
        Chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    a->oom->used -= a->bytes;
    a->bytes = 0;
}

void arena_free(Arena *a)
{
    if (!a)
        return;
    arena_reset(a);
    if (a->parent) {
        Arena **link = &a->parent->children;
        while (*link != a)
            link = &(*link)->sibling;
        *link = a->sibling;
    }
    free(a);
}

void *arena_alloc(Arena *a, size_t bytes)
{
    Chunk *c = a->chunks;
    size_t need;
    char *p;

    if (bytes > SIZE_MAX / 4)
        fail(a->oom, bytes);
    need = (bytes + 15) / 16 * 16;
    if (need == 0)
        need = 16;
    if (need >= LARGE) {        /* own chunk, behind the one being filled */
        c = chunk_new(a, need);
        if (a->chunks) {
            c->next = a->chunks->next;
            a->chunks->next = c;
        } else {
            a->chunks = c;
        }
    } else if (!c || c->cap - c->used < need) {
        c = chunk_new(a, a->bytes < GROWN ? CHUNK : PAGE - head_bytes());
        c->next = a->chunks;
        a->chunks = c;
    }
    p = (char *)c + head_bytes() + c->used;
    c->used += need;
    return memset(p, 0, need);
}

void *arena_array(Arena *a, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / 4 / size)
        fail(a->oom, SIZE_MAX);
    return arena_alloc(a, n * size);
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
    char *p = arena_alloc(a, n + 1);

    memcpy(p, s, n);
    return p;
}

char *arena_strdup(Arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

void *arena_memdup(Arena *a, const void *p, size_t n)
{
    void *q = arena_alloc(a, n);

    if (n)
        memcpy(q, p, n);
    return q;
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap;
    int n;
    char *p;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    p = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

size_t arena_bytes(const Arena *a)
{
    return a->bytes;
}

void *arena_grow(Arena *a, void *old, int n, int *cap, size_t size)
{
    void *p;

    if (n < *cap)
        return old;
    *cap = *cap ? *cap * 2 : 4;
    p = arena_array(a, (size_t)*cap, size);
    if (n)
        memcpy(p, old, (size_t)n * size);
    return p;
}
