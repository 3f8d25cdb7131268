/* svd.h - the linear algebra of low-rank splitting, on row-major doubles.
 * The decompositions themselves are LAPACK's. */
#ifndef MCUFC_SVD_H
#define MCUFC_SVD_H

#include <stdbool.h>
#include <stdint.h>

#include "../support/arena.h"

/* a[rows, cols] = u[rows, k] diag(s) vt[k, cols], k = min(rows, cols); s
 * falls; the largest element of each row of vt is positive. */
typedef struct Svd {
    int64_t rows, cols, k;
    double *u, *s, *vt;
} Svd;

/* False when LAPACK gives up (NaN, no convergence). */
bool svd(Arena *arena, int64_t rows, int64_t cols, const double *a, Svd *out);

/* gram[n, n] = L L^T for a symmetric positive semidefinite gram; a little of
 * its mean diagonal is added so that L always has an inverse. */
bool cholesky(Arena *arena, int64_t n, const double *gram, double **l);
/* y[n, cols] = L^T x, and x = L^-T y */
void lower_transposed_times(const double *l, int64_t n, const double *x,
                            int64_t cols, double *y);
void lower_transposed_solve(const double *l, int64_t n, double *xy,
                            int64_t cols);

#endif
