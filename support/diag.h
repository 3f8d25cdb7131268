/* diag.h - messages for people. One Diag per run collects counts and knows
 * the file being read; every user error goes through diag_error, which
 * returns false so that callers write `return diag_error(...)`. */
#ifndef MCUFC_DIAG_H
#define MCUFC_DIAG_H

#include <stdbool.h>
#include <stdio.h>

typedef struct Diag {
    const char *file;           /* the model's path as the user wrote it */
    FILE *out;                  /* stderr, or a test's file; NULL: mute */
    int errors, warnings;
    int quiet;                  /* 1: no notes, 2: no warnings either */
    bool color;
    int line, column;           /* in a text file; 0: none */
    int width;                  /* columns that the message is about */
    const char *source;         /* the text file itself, or NULL */
    size_t source_n;
    char *caught;               /* the first error goes here instead, of */
    size_t caught_n;            /* at most so many bytes; NULL: it is said */
} Diag;

/* `file: message`; lower case, no full stop, with the numbers. */
bool diag_error(Diag *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void diag_warn(Diag *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void diag_note(Diag *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* `hint: ...`, after an error whose way out is known */
void diag_hint(Diag *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
