/* svd.c - see svd.h. LAPACK counts columns first: our row-major matrix is
 * its transpose there, so u and vt change places.
 */
#include "svd.h"

#include <lapacke.h>
#include <math.h>
#include <string.h>

/* The sign of a pair of singular vectors is free: make it unique. */
static void fix_signs(Svd *d)
{
    for (int64_t r = 0; r < d->k; r++) {
        double *row = d->vt + r * d->cols, best = 0;
        for (int64_t j = 0; j < d->cols; j++)
            if (fabs(row[j]) > fabs(best))
                best = row[j];
        if (best >= 0)
            continue;
        for (int64_t j = 0; j < d->cols; j++)
            row[j] = -row[j];
        for (int64_t i = 0; i < d->rows; i++)
            d->u[i * d->k + r] = -d->u[i * d->k + r];
    }
}

bool svd(Arena *arena, int64_t rows, int64_t cols, const double *a, Svd *out)
{
    int64_t k = rows < cols ? rows : cols;
    double *copy = NEW_ARRAY(arena, double, rows * cols);

    *out = (Svd){ rows, cols, k, NEW_ARRAY(arena, double, rows * k),
                  NEW_ARRAY(arena, double, k),
                  NEW_ARRAY(arena, double, k * cols) };
    for (int64_t i = 0; i < rows * cols; i++)
        if (!isfinite(a[i]))
            return false;
    memcpy(copy, a, (size_t)(rows * cols) * sizeof *copy);
    if (LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', (lapack_int)cols,
                       (lapack_int)rows, copy, (lapack_int)cols, out->s,
                       out->vt, (lapack_int)cols, out->u, (lapack_int)k) != 0)
        return false;
    fix_signs(out);
    return true;
}

bool cholesky(Arena *arena, int64_t n, const double *gram, double **l)
{
    double mean = 0;

    *l = NEW_ARRAY(arena, double, n * n);
    memcpy(*l, gram, (size_t)(n * n) * sizeof **l);
    for (int64_t i = 0; i < n; i++)
        mean += gram[i * n + i] / (double)n;
    if (!isfinite(mean))
        return false;
    for (int64_t i = 0; i < n; i++)
        (*l)[i * n + i] += mean > 0 ? 1e-6 * mean : 1;
    if (LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', (lapack_int)n, *l,
                       (lapack_int)n) != 0)
        return false;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++)
            (*l)[i * n + j] = 0;
    return true;
}

void lower_transposed_times(const double *l, int64_t n, const double *x,
                            int64_t cols, double *y)
{
    memset(y, 0, (size_t)(n * cols) * sizeof *y);
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i <= k; i++)
            for (int64_t j = 0; j < cols; j++)
                y[i * cols + j] += l[k * n + i] * x[k * cols + j];
}

void lower_transposed_solve(const double *l, int64_t n, double *xy,
                            int64_t cols)
{
    LAPACKE_dtrtrs(LAPACK_ROW_MAJOR, 'L', 'T', 'N', (lapack_int)n,
                   (lapack_int)cols, l, (lapack_int)n, xy, (lapack_int)cols);
}
