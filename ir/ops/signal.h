/* signal.h - DFT and STFT nodes read for interpreter and emitter. */
#ifndef MCUFC_OPS_SIGNAL_H
#define MCUFC_OPS_SIGNAL_H

#include "../ir.h"

/* Transforms of `len` points along an axis of x [outer, in, inner, 1 or 2]
 * into y [outer, out, inner, 1 or 2]; the input is cut or padded with zeros
 * to len points. */
typedef struct Dft {
    int axis;
    int64_t outer, in, inner, len, out;
    bool complex_in, complex_out, inverse;
    bool half_in;               /* the other half of the input is conjugate */
} Dft;

/* axis and len: the operands' values; len < 0: left out. False after a
 * message. */
bool dft_read(const Node *n, int64_t axis, int64_t len, Dft *d);

/* x [batch, samples, 1 or 2] -> y [batch, frames, bins, 2] */
typedef struct Stft {
    int64_t batch, samples, frames, bins, len, step;
    bool complex_in, window;
} Stft;

/* step, len: the operands' values; len < 0: left out */
bool stft_read(const Node *n, int64_t step, int64_t len, Stft *s);

enum { SIGNAL_LIMIT = 1 << 24 };        /* points of one transform */

/* x and y: len complex points (re, im); table: cos, sin of 2 pi k / len.
 * scratch: 2 * len. Not scaled. */
void dft_points(int64_t len, const double *table, bool inverse,
                const double *x, double *y, double *scratch);
double *dft_table(int64_t len, Arena *a);

#endif
