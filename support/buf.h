/* buf.h - growable text. Everything that mcufc writes (C, text form, JSON,
 * reports) is built in a Buf first, so that a file is written at once. */
#ifndef MCUFC_BUF_H
#define MCUFC_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "arena.h"

typedef struct Buf {
    Arena *arena;               /* owns the text */
    char *s;                    /* always terminated by a 0 that n excludes */
    size_t n, cap;
} Buf;

void buf_init(Buf *b, Arena *arena);
void buf_clear(Buf *b);
void buf_putc(Buf *b, char c);
void buf_puts(Buf *b, const char *s);
void buf_write(Buf *b, const void *p, size_t n);
void buf_printf(Buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void buf_vprintf(Buf *b, const char *fmt, va_list ap);
/* n more bytes at the end, for the caller to fill */
void *buf_room(Buf *b, size_t n);
/* s with the escapes that C, JSON and the text form have in common */
void buf_quote(Buf *b, const char *s);

#endif
