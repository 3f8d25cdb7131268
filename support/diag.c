/* diag.c - one line per message, the same shape everywhere; for texts with
 * the line that it is about, and a caret. */
#include "diag.h"

#include <stdarg.h>
#include <string.h>

enum { SHOWN = 100, BEFORE = 60 };      /* columns of a long line */

/* Where line number `line` (from 1) begins. */
static const char *find_line(const Diag *d)
{
    const char *s = d->source, *end = s + d->source_n;

    for (int i = 1; i < d->line; i++) {
        s = memchr(s, '\n', (size_t)(end - s));
        if (!s)
            return end;
        s++;
    }
    return s;
}

static void show_line(const Diag *d)
{
    const char *s = find_line(d), *end = d->source + d->source_n;
    int from = d->column - 1 > SHOWN - 20 ? d->column - 1 - BEFORE : 0, n = 0;
    const char *stop = memchr(s, '\n', (size_t)(end - s));

    stop = stop ? stop : end;
    if (s + from + d->column > stop && s + d->column - 1 > stop)
        return;
    s += from;
    fprintf(d->out, "%6d | ", d->line);
    for (; s + n < stop && n < SHOWN; n++)
        fputc((unsigned char)s[n] < 32 ? ' ' : s[n], d->out);
    fprintf(d->out, "\n       | ");
    for (int i = 1; i < d->column - from; i++)  /* continuation bytes: none */
        if (((unsigned char)s[i - 1] & 0xc0) != 0x80)
            fputc(' ', d->out);
    fputs(d->color ? "\033[1;32m^" : "^", d->out);
    for (int i = 1; i < d->width && d->column - from + i <= n; i++)
        if (((unsigned char)s[d->column - from - 1 + i] & 0xc0) != 0x80)
            fputc('~', d->out);
    fputs(d->color ? "\033[0m\n" : "\n", d->out);
}

static void say(Diag *d, const char *kind, const char *color,
                const char *fmt, va_list ap)
{
    if (!d->out)
        return;
    if (d->file && kind[0] != 'h' && d->line && d->column)
        fprintf(d->out, "%s:%d:%d: ", d->file, d->line, d->column);
    else if (d->file && kind[0] != 'h' && d->line)
        fprintf(d->out, "%s:%d: ", d->file, d->line);
    else if (d->file && kind[0] != 'h')
        fprintf(d->out, "%s: ", d->file);
    if (d->color)
        fprintf(d->out, "\033[%sm%s:\033[0m ", color, kind);
    else
        fprintf(d->out, "%s: ", kind);
    vfprintf(d->out, fmt, ap);
    fputc('\n', d->out);
    if (d->source && d->line && d->column && kind[0] != 'h')
        show_line(d);
}

bool diag_error(Diag *d, const char *fmt, ...)
{
    va_list ap;

    if (d->caught) {
        va_start(ap, fmt);
        if (!d->caught[0])
            vsnprintf(d->caught, d->caught_n, fmt, ap);
        va_end(ap);
        return false;
    }
    d->errors++;
    va_start(ap, fmt);
    say(d, "error", "1;31", fmt, ap);
    va_end(ap);
    return false;
}

void diag_warn(Diag *d, const char *fmt, ...)
{
    va_list ap;

    d->warnings++;
    if (d->quiet > 1)
        return;
    va_start(ap, fmt);
    say(d, "warning", "1;35", fmt, ap);
    va_end(ap);
}

void diag_note(Diag *d, const char *fmt, ...)
{
    va_list ap;

    if (d->quiet)
        return;
    va_start(ap, fmt);
    say(d, "note", "1;36", fmt, ap);
    va_end(ap);
}

void diag_hint(Diag *d, const char *fmt, ...)
{
    va_list ap;

    if (d->caught)
        return;
    va_start(ap, fmt);
    say(d, "hint", "1;32", fmt, ap);
    va_end(ap);
}
