/* buf.c - growable text in an arena. */
#include "buf.h"

#include <stdio.h>
#include <string.h>

static void reserve(Buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : 256;
    char *s;

    if (b->n + more + 1 <= b->cap)
        return;
    while (cap < b->n + more + 1)
        cap *= 2;
    s = arena_alloc(b->arena, cap);
    if (b->n)
        memcpy(s, b->s, b->n);
    b->s = s;
    b->cap = cap;
}

void buf_init(Buf *b, Arena *arena)
{
    b->arena = arena;
    b->s = NULL;
    b->n = b->cap = 0;
    reserve(b, 1);
    b->s[0] = 0;
}

void buf_clear(Buf *b)
{
    b->n = 0;
    b->s[0] = 0;
}

void buf_write(Buf *b, const void *p, size_t n)
{
    reserve(b, n);
    if (n)
        memcpy(b->s + b->n, p, n);
    b->n += n;
    b->s[b->n] = 0;
}

void *buf_room(Buf *b, size_t n)
{
    if (b->n + n + 1 > 2 * b->cap) {    /* much at once: exactly that */
        char *s = arena_alloc(b->arena, b->n + n + 1);
        memcpy(s, b->s, b->n);
        b->s = s;
        b->cap = b->n + n + 1;
    }
    reserve(b, n);
    b->n += n;
    b->s[b->n] = 0;
    return b->s + b->n - n;
}

void buf_putc(Buf *b, char c)
{
    buf_write(b, &c, 1);
}

void buf_puts(Buf *b, const char *s)
{
    buf_write(b, s, strlen(s));
}

void buf_vprintf(Buf *b, const char *fmt, va_list ap)
{
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    reserve(b, (size_t)n);
    vsnprintf(b->s + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

void buf_printf(Buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_quote(Buf *b, const char *s)
{
    buf_putc(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c == '\n')
            buf_puts(b, "\\n");
        else if (c == '\t')
            buf_puts(b, "\\t");
        else if (c < 32 || c == 127)
            buf_printf(b, "\\u%04x", c);
        else
            buf_putc(b, (char)c);
    }
    buf_putc(b, '"');
}
