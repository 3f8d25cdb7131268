/* npz.h - numpy's array files: .npy (one array) and .npz (a zip of them).
 * Formats: numpy.lib.format versions 1.0 to 3.0; zip with stored or deflated
 * members, zip64 included. Nothing here knows the compiler's types. */
#ifndef MCUFC_NPZ_H
#define MCUFC_NPZ_H

#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "diag.h"

enum { NPY_MAX_RANK = 32 };

typedef struct NpyArray {
    const char *name;           /* in a .npz without ".npy"; "" in a .npy */
    char kind;                  /* numpy's: f i u b, V for raw bytes (as
                                   bfloat16 is written) */
    int size;                   /* bytes of an element */
    int rank;
    int64_t dim[NPY_MAX_RANK];  /* outermost first */
    int64_t count;              /* elements */
    const void *data;           /* dense row-major, little endian, aligned
                                   to 8 bytes; never NULL without problem */
    const char *problem;        /* why it cannot be used: strings, ... */
} NpyArray;

typedef struct NpyFile {
    bool is_npz;
    int n;
    NpyArray *array;            /* in the file's order */
} NpyFile;

/* Reads either format, told apart by the first bytes. */
bool npz_load(const char *path, Arena *arena, Diag *diag, NpyFile *out);
/* The array of that name, NULL when there is none. */
const NpyArray *npz_find(const NpyFile *f, const char *name);

void npy_write(Buf *b, const NpyArray *a);
/* A zip of stored members, without dates: the same arrays, the same bytes. */
void npz_write(Buf *b, int n, const NpyArray *a);

/* Between npy.c and npz.c */

bool npy_is(const uint8_t *p, size_t n);
/* p[0..n): a whole .npy. The data stay in p where they are usable there.
 * `what` names it in messages; a->name is the caller's. */
bool npy_parse(const uint8_t *p, size_t n, const char *what, Arena *arena,
               Diag *diag, NpyArray *a);

#endif
