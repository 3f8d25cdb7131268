/* diag.c - one line per message, the same shape everywhere. */
#include "diag.h"

#include <stdarg.h>

static void say(Diag *d, const char *kind, const char *color,
                const char *fmt, va_list ap)
{
    if (!d->out)
        return;
    if (d->file && kind[0] != 'h' && d->line)
        fprintf(d->out, "%s:%d: ", d->file, d->line);
    else if (d->file && kind[0] != 'h')
        fprintf(d->out, "%s: ", d->file);
    if (d->color)
        fprintf(d->out, "\033[%sm%s:\033[0m ", color, kind);
    else
        fprintf(d->out, "%s: ", kind);
    vfprintf(d->out, fmt, ap);
    fputc('\n', d->out);
}

bool diag_error(Diag *d, const char *fmt, ...)
{
    va_list ap;

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

    va_start(ap, fmt);
    say(d, "hint", "1;32", fmt, ap);
    va_end(ap);
}
