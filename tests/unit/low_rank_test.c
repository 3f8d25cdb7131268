/* low_rank_test.c - truncated decompositions against the optimum (Eckart and
 * Young), whose value comes from Jacobi rotations here and not from LAPACK;
 * weighting by activations against none. Random matrices and those of the
 * demo's vision transformer.
 */
#include "test.h"

#include <math.h>

#include "../../compress/low_rank_int.h"
#include "../../frontend/model.h"
#include "../../passes/passes.h"

static uint32_t seed = 1;

static double rnd(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (double)(seed >> 8) / 8388608.0 - 1;
}

/* Eigenvalues of a symmetric matrix by cyclic Jacobi, into its diagonal. */
static void jacobi(double *a, int64_t n)
{
    for (int sweep = 0; sweep < 60; sweep++)
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double apq = a[p * n + q], t, c, s, theta;
                if (fabs(apq) < 1e-300)
                    continue;
                theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
                t = (theta >= 0 ? 1 : -1) /
                    (fabs(theta) + sqrt(theta * theta + 1));
                c = 1 / sqrt(t * t + 1);
                s = t * c;
                for (int64_t k = 0; k < n; k++) {
                    double x = a[k * n + p], y = a[k * n + q];
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for (int64_t k = 0; k < n; k++) {
                    double x = a[p * n + k], y = a[q * n + k];
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
            }
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* squared singular values, falling */
static double *squares(Arena *arena, const double *w, int64_t rows,
                       int64_t cols)
{
    bool wide = cols > rows;
    int64_t n = wide ? rows : cols, m = wide ? cols : rows;
    double *g = NEW_ARRAY(arena, double, n * n);
    double *s = NEW_ARRAY(arena, double, n);

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < m; k++)
                g[i * n + j] += wide ? w[i * cols + k] * w[j * cols + k]
                                     : w[k * cols + i] * w[k * cols + j];
    jacobi(g, n);
    for (int64_t i = 0; i < n; i++)
        s[i] = g[i * n + i] > 0 ? g[i * n + i] : 0;
    qsort(s, (size_t)n, sizeof *s, falling);
    return s;
}

/* a - its truncation at rank r */
static double *residue(Arena *arena, const Svd *d, const double *w, int64_t r)
{
    double *e = arena_memdup(arena, w,
                             (size_t)(d->rows * d->cols) * sizeof *w);

    for (int64_t i = 0; i < d->rows; i++)
        for (int64_t k = 0; k < r; k++)
            for (int64_t j = 0; j < d->cols; j++)
                e[i * d->cols + j] -= d->u[i * d->k + k] * d->s[k] *
                                      d->vt[k * d->cols + j];
    return e;
}

static double norm2(const double *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

static void check_optimum(Arena *arena, const double *w, int64_t rows,
                          int64_t cols)
{
    double all = norm2(w, rows * cols), *s;
    Svd d;

    ck_assert(svd(arena, rows, cols, w, &d));
    s = squares(arena, w, rows, cols);
    for (int64_t r = 0; r <= d.k; r += 1 + d.k / 5) {
        double tail = 0, is;
        for (int64_t i = d.k - 1; i >= r; i--)
            tail += s[i];
        is = norm2(residue(arena, &d, w, r), rows * cols);
        ck_assert_msg(fabs(sqrt(is) - sqrt(tail)) <= 1e-5 * sqrt(tail) +
                          1e-7 * sqrt(all),
                      "%lld x %lld, rank %lld: error %.12g, optimum %.12g",
                      (long long)rows, (long long)cols, (long long)r,
                      sqrt(is), sqrt(tail));
    }
}

START_TEST(random_matrices)
{
    static const int64_t sizes[][2] = { { 1, 1 }, { 1, 7 }, { 7, 1 },
        { 5, 5 }, { 12, 40 }, { 40, 12 }, { 33, 32 }, { 64, 64 } };
    Fixture f;

    fixture_open(&f);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int kind = 0; kind < 3; kind++) {
            int64_t m = sizes[k][0], n = sizes[k][1];
            double *w = NEW_ARRAY(f.arena, double, m * n);
            for (int64_t i = 0; i < m * n; i++)
                w[i] = kind == 0 ? rnd()
                       : kind == 1 ? (double)(i / n + 1) * (double)(i % n + 1)
                                   : 0;
            check_optimum(f.arena, w, m, n);
        }
    fixture_close(&f);
}
END_TEST

/* ||x e||^2 of activations x[count, rows] */
static double through(Arena *arena, const double *x, int64_t count,
                      const double *e, int64_t rows, int64_t cols)
{
    double *y = NEW_ARRAY(arena, double, count * cols);

    for (int64_t i = 0; i < count; i++)
        for (int64_t k = 0; k < rows; k++)
            for (int64_t j = 0; j < cols; j++)
                y[i * cols + j] += x[i * rows + k] * e[k * cols + j];
    return norm2(y, count * cols);
}

/* Channels of very different sizes, and correlated ones. */
static double *activations(Arena *arena, int64_t count, int64_t rows)
{
    double *x = NEW_ARRAY(arena, double, count * rows);

    for (int64_t i = 0; i < count; i++)
        for (int64_t k = 0; k < rows; k++)
            x[i * rows + k] = rnd() * (k % 7 ? 0.1 : 5) +
                              (k ? 0.5 * x[i * rows + k - 1] : 0);
    return x;
}

static void check_weighted(Arena *arena, const double *w, int64_t rows,
                           int64_t cols)
{
    enum { COUNT = 200 };
    double *x = activations(arena, COUNT, rows), *l, *e, *lw;
    double *gram = NEW_ARRAY(arena, double, rows * rows);
    Svd plain, weighted;

    for (int64_t i = 0; i < COUNT; i++)
        for (int64_t p = 0; p < rows; p++)
            for (int64_t q = 0; q < rows; q++)
                gram[p * rows + q] += x[i * rows + p] * x[i * rows + q];
    ck_assert(cholesky(arena, rows, gram, &l));
    lw = NEW_ARRAY(arena, double, rows * cols);
    lower_transposed_times(l, rows, w, cols, lw);
    ck_assert(svd(arena, rows, cols, w, &plain));
    ck_assert(svd(arena, rows, cols, lw, &weighted));
    for (int64_t r = 1; r < plain.k; r += 1 + plain.k / 4) {
        double by_plain = through(arena, x, COUNT, residue(arena, &plain, w,
                                                           r), rows, cols);
        double by_weight, all = through(arena, x, COUNT, w, rows, cols);
        e = residue(arena, &weighted, lw, r);
        lower_transposed_solve(l, rows, e, cols);
        by_weight = through(arena, x, COUNT, e, rows, cols);
        ck_assert_msg(by_weight <= by_plain * (1 + 1e-5) + 1e-6 * all,
                      "%lld x %lld, rank %lld: weighted %.9g, plain %.9g",
                      (long long)rows, (long long)cols, (long long)r,
                      by_weight, by_plain);
    }
}

START_TEST(real_matrices)
{
    BuildOptions build = { 0 };
    PassOptions none = { .bisect = -1 };
    Units all = { 0 };
    Fixture f;
    Model m;
    Graph *g;
    bool changed;

    fixture_open(&f);
    memset(&m, 0, sizeof m);
    ck_assert(onnx_load("examples/vit-mnist/vit_mnist.onnx", f.arena, &f.diag,
                        &m));
    g = graph_new(f.arena, f.scratch, &f.diag);
    ck_assert(model_build(&m, &build, g));
    ck_assert(pass_fold(g, &none, &changed));
    ck_assert(pass_fuse_matmul(g, &none, &changed));
    all.arena = f.arena;
    units_find(g, &all);
    ck_assert_int_ge(all.n, 20);
    for (int i = 0; i < all.n; i += 3) {
        const Unit *u = &all.unit[i];
        Arena *arena = arena_child(f.arena);
        check_optimum(arena, u->w, u->rows, u->cols);
        check_weighted(arena, u->w, u->rows, u->cols);
        arena_free(arena);
    }
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("low_rank");
    TCase *t = tcase_create("svd");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, random_matrices);
    tcase_add_test(t, real_matrices);
    suite_add_tcase(s, t);
    return test_main(s);
}
