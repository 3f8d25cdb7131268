/* gptq.c - int4 weights, rounded with regard to the inputs that they meet.
 *
 * With H = sum of x x^T over the samples' inputs, the error of a row w in the
 * product's result is (w - q) H (w - q)^T. Columns are rounded one by one,
 * those of the largest inputs first, and what rounding one does to the result
 * is made up for by the columns that are still free, by way of the Cholesky
 * factor of H^-1 (Frantar et al., "GPTQ", 2022). A row has one scale, or one
 * per block of columns where that is needed; where even that is too coarse,
 * and where there is little to save, the weights stay int8.
 */
#include "ptq_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 4096, MIN_DEPTH = 16 };
static const double channel_enough = 1e-3;      /* 30 dB */
static const double block_enough = 0.03;        /* 15 dB */

typedef struct Moments {
    double *h;                  /* [depth][depth] */
    int64_t rows, most;         /* input vectors so far, wanted */
} Moments;

typedef struct Collect {
    Ptq *p;
    Arena *arena;
    Product **product;          /* by node index; only those for int4 */
    Moments *moments;           /* by product */
    int samples;
} Collect;

static void add_vector(Moments *m, const float *x, int64_t depth)
{
    for (int64_t i = 0; i < depth; i++) {
        double *row = m->h + i * depth, xi = (double)x[i];
        if (xi == 0)
            continue;
        for (int64_t j = 0; j <= i; j++)
            row[j] += xi * (double)x[j];
    }
    m->rows++;
}

/* Patch `at` of a convolution's input, without regard to strides and padding:
 * the statistics of patches inside the image. */
static void patch(const Product *r, const Tensor *x, int64_t at, float *to)
{
    const Type *w = &r->n->in[1]->type;
    const Ints *dil = &ATTRS(conv, r->n)->dilations;
    int axes = w->rank - 2;
    int64_t stride[MAX_RANK], base = 0, n = r->inner * r->channels;

    type_strides(&x->type, stride);
    for (int i = axes - 1; i >= 0; i--) {
        int64_t d = dil->n > i ? dil->v[i] : 1;
        int64_t room = x->type.dim[i + 2] - (w->dim[i + 2] - 1) * d;
        room = room < 1 ? 1 : room;
        base += at % room * stride[i + 2];
        at /= room;
    }
    for (int64_t k = 0; k < r->depth; k++) {
        int64_t from = base + k / r->span * r->inner, rest = k % r->span;
        for (int i = axes - 1; i >= 0; i--) {
            int64_t d = dil->n > i ? dil->v[i] : 1;
            from += rest % w->dim[i + 2] * d * stride[i + 2];
            rest /= w->dim[i + 2];
        }
        to[k] = from < n ? ((const float *)x->data)[from] : 0;
    }
}

static void collect_walk(void *user, const Node *n, const Tensor *const *in,
                         Tensor *const *out)
{
    Collect *c = user;
    Product *r = c->product[n->index];
    Moments *m = r ? &c->moments[r - c->p->product] : NULL;
    int64_t vectors, want, elems;
    float *v;
    Tensor x;

    (void)out;
    if (!r)
        return;
    x = *in[0];
    elems = type_elems(&x.type);
    x.data = arena_memdup(c->arena, x.data, (size_t)type_bytes(&x.type));
    grid_round_all(&class_of(c->p, n->in[0])->grid, x.data, elems);
    vectors = elems / r->channels;
    want = m->most / c->samples + 1;
    want = want < vectors ? want : vectors;
    v = NEW_ARRAY(c->arena, float, r->depth);
    for (int64_t i = 0; i < want; i++) {
        int64_t at = i * vectors / want;
        if (r->n->op == OP_Conv)
            patch(r, &x, at, v);
        else
            memcpy(v, (const float *)x.data + at * r->depth,
                   (size_t)r->depth * sizeof *v);
        add_vector(m, v, r->depth);
    }
    arena_reset(c->arena);
}

/* Mean, the upper half too, and a little on the diagonal. */
static void finish_moments(Moments *m, int64_t n)
{
    double mean = 0, add;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double x = m->h[i * n + j] / (double)(m->rows ? m->rows : 1);
            m->h[i * n + j] = m->h[j * n + i] = x;
        }
    for (int64_t i = 0; i < n; i++)
        mean += m->h[i * n + i] / (double)n;
    add = mean > 0 ? 0.01 * mean : 1;
    for (int64_t i = 0; i < n; i++)
        m->h[i * n + i] += add;
}

/* a = l l^T in place, l in the lower half; false: not positive definite */
static bool cholesky(double *a, int64_t n)
{
    for (int64_t j = 0; j < n; j++) {
        double *rj = a + j * n, d = rj[j];
        for (int64_t k = 0; k < j; k++)
            d -= rj[k] * rj[k];
        if (!(d > 0))
            return false;
        rj[j] = sqrt(d);
        for (int64_t i = j + 1; i < n; i++) {
            double *ri = a + i * n, s = ri[j];
            for (int64_t k = 0; k < j; k++)
                s -= ri[k] * rj[k];
            ri[j] = s / rj[j];
        }
    }
    return true;
}

/* Inverse from the Cholesky factor l (lower half), written to out. */
static void invert(const double *l, int64_t n, double *out, double *col)
{
    for (int64_t c = 0; c < n; c++) {
        for (int64_t i = 0; i < n; i++) {
            double s = i == c;
            for (int64_t k = c; k < i; k++)
                s -= l[i * n + k] * col[k];
            col[i] = i < c ? 0 : s / l[i * n + i];
        }
        for (int64_t i = n - 1; i >= 0; i--) {
            double s = col[i];
            for (int64_t k = i + 1; k < n; k++)
                s -= l[k * n + i] * col[k];
            col[i] = s / l[i * n + i];
        }
        for (int64_t i = 0; i < n; i++)
            out[i * n + c] = col[i];
    }
}

typedef struct Plan4 {          /* of one product */
    int64_t n;                  /* depth */
    const double *h;
    int64_t *order;             /* columns, largest inputs first */
    double *u;                  /* lower factor of (ordered H)^-1, reversed
                                   roles: see factor() */
    int64_t block, blocks;
    float *scale;               /* [rows][blocks] */
    int16_t *code;              /* [rows][depth] */
} Plan4;

static const double *sort_key;
static int64_t sort_n;

static int by_input(const void *a, const void *b)
{
    int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    double x = sort_key[i * sort_n + i], y = sort_key[j * sort_n + j];

    if (x != y)
        return x > y ? -1 : 1;
    return i < j ? -1 : i > j;
}

static void transpose(double *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            double t = a[i * n + j];
            a[i * n + j] = a[j * n + i];
            a[j * n + i] = t;
        }
}

/* u: upper, with (H ordered)^-1 = u^T u, so that row k of u says how the
 * columns after k make up for column k. */
static bool factor(Plan4 *f, Arena *a)
{
    int64_t n = f->n;
    double *h = NEW_ARRAY(a, double, n * n), *col = NEW_ARRAY(a, double, n);

    f->u = NEW_ARRAY(a, double, n * n);
    f->order = NEW_ARRAY(a, int64_t, n);
    for (int64_t i = 0; i < n; i++)
        f->order[i] = i;
    sort_key = f->h;
    sort_n = n;
    qsort(f->order, (size_t)n, sizeof *f->order, by_input);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            h[i * n + j] = f->h[f->order[i] * n + f->order[j]];
    if (!cholesky(h, n))
        return false;
    invert(h, n, f->u, col);
    if (!cholesky(f->u, n))
        return false;
    transpose(f->u, n);
    return true;
}

static double clamp4(double q)
{
    return q > 7 ? 7 : q < -8 ? -8 : q;
}

/* The scale of columns [from, to) of a row: least error, columns apart. */
static double scale4(const Plan4 *f, const double *w, int64_t from,
                     int64_t to, double least)
{
    double peak = 0, best = 0, least_error = INFINITY;

    for (int64_t k = from; k < to; k++)
        peak = fmax(peak, fabs(w[k]));
    for (int i = 100; i >= 50; i -= 2) {
        double s = peak / 7 * i / 100, e = 0;
        if (!(s > 0))
            break;
        for (int64_t k = from; k < to; k++) {
            double d = w[k] - clamp4(rint(w[k] / s)) * s;
            e += d * d * f->h[k * f->n + k];
        }
        if (e < least_error) {
            least_error = e;
            best = s;
        }
    }
    return best > least ? best : least;
}

static void round_row(const Plan4 *f, double *w, const float *scale,
                      int16_t *code)
{
    int64_t n = f->n;

    for (int64_t i = 0; i < n; i++) {
        int64_t k = f->order[i];
        const double *u = f->u + i * n;
        double s = (double)scale[k / f->block], q = clamp4(rint(w[k] / s));
        double err = (w[k] - q * s) / u[i];
        code[k] = (int16_t)q;
        for (int64_t j = i + 1; j < n; j++)
            w[f->order[j]] -= err * u[j];
    }
}

/* d H d^T */
static double energy(const Plan4 *f, const double *d)
{
    double sum = 0;

    for (int64_t i = 0; i < f->n; i++) {
        const double *h = f->h + i * f->n;
        double s = 0;
        for (int64_t j = 0; j < f->n; j++)
            s += h[j] * d[j];
        sum += s * d[i];
    }
    return sum;
}

/* All rows with blocks of f->block columns; the error relative to the
 * product's energy. */
static double round_all(const Ptq *p, const Product *r, Plan4 *f, Arena *a)
{
    const float *real = r->weight->real->data;
    double *w = NEW_ARRAY(a, double, f->n), *d = NEW_ARRAY(a, double, f->n);
    double error = 0, signal = 0;

    f->blocks = f->n / f->block;
    f->scale = NEW_ARRAY(p->arena, float, r->rows * f->blocks);
    f->code = NEW_ARRAY(p->arena, int16_t, r->rows * f->n);
    for (int64_t o = 0; o < r->rows; o++) {
        float *scale = f->scale + o * f->blocks;
        double least = least_scale(p, r, o);
        for (int64_t k = 0; k < f->n; k++)
            w[k] = d[k] = (double)real[o * r->so + k * r->sk];
        signal += energy(f, w);
        for (int64_t b = 0; b < f->blocks; b++)
            scale[b] = (float)scale4(f, w, b * f->block, (b + 1) * f->block,
                                     least);
        round_row(f, w, scale, f->code + o * f->n);
        for (int64_t k = 0; k < f->n; k++)
            d[k] -= (double)f->code[o * f->n + k] *
                    (double)scale[k / f->block];
        error += energy(f, d);
    }
    return signal > 0 ? error / signal : 0;
}

static int64_t block_for(const Product *r)
{
    static const int64_t sizes[] = { 32, 16, 24, 48, 64 };

    if (r->n->op != OP_Conv)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            if (r->depth % sizes[i] == 0 && r->depth > sizes[i])
                return sizes[i];
    return 0;
}

static void keep(Ptq *p, Product *r, const Plan4 *f)
{
    Param *w = r->weight;
    bool blocked = f->blocks > 1;

    w->dt = DT_I4;
    w->block = blocked ? f->block : 0;
    w->scale_type = type_vector(DT_F32, r->rows);
    w->scale = NEW_ARRAY(p->arena, float, r->rows * f->blocks);
    for (int64_t o = 0; o < r->rows; o++) {
        for (int64_t b = 0; b < f->blocks; b++)
            w->scale[r->sk == 1 ? o * f->blocks + b : b * r->rows + o] =
                f->scale[o * f->blocks + b];
        for (int64_t k = 0; k < f->n; k++)
            w->code[o * r->so + k * r->sk] = f->code[o * f->n + k];
    }
    if (blocked) {
        w->axis = r->sk == 1 ? 1 : 0;
        w->scale_type = r->sk == 1
            ? type_make(DT_F32, 2, (int64_t[]){ r->rows, f->blocks })
            : type_make(DT_F32, 2, (int64_t[]){ f->blocks, r->rows });
    }
    weights_use(p, r);
    p->report->int4++;
    p->report->int8--;
}

static bool try_int4(Ptq *p, Product *r, Moments *m)
{
    Arena *a = arena_child(p->arena);
    Plan4 f = { .n = r->depth, .h = m->h };
    int64_t block = block_for(r);
    double error;
    bool ok;

    finish_moments(m, r->depth);
    ok = factor(&f, a);
    if (ok) {
        f.block = r->depth;
        error = round_all(p, r, &f, a);
        if (error > channel_enough && block) {
            f.block = block;
            error = round_all(p, r, &f, a);
        }
        if (error <= block_enough)
            keep(p, r, &f);
    }
    arena_free(a);
    return ok;
}

/* Depthwise filters, and what is less than a hundredth of all weights,
 * stay int8. */
static bool worth_it(const Ptq *p, const Product *r)
{
    int64_t all = 0;

    for (int i = 0; i < p->nproduct; i++)
        all += p->product[i].rows * p->product[i].depth;
    return r->groups == 1 && r->depth >= MIN_DEPTH &&
           r->depth <= MAX_DEPTH && r->rows * r->depth * 100 >= all;
}

bool gptq_quantize(Ptq *p)
{
    Collect c = { .p = p, .arena = arena_child(p->arena) };
    Arena *run = arena_child(p->arena), *temp = arena_child(p->arena);
    int nodes = 0;
    bool ok = true;

    graph_number(p->g);
    for EACH_NODE(n, p->g)
        nodes++;
    c.product = NEW_ARRAY(temp, Product *, nodes);
    c.moments = NEW_ARRAY(temp, Moments, p->nproduct);
    c.samples = samples_for(p, 1, 128);
    for (int i = 0; i < p->nproduct; i++) {
        Product *r = &p->product[i];
        if (!worth_it(p, r))
            continue;
        c.product[r->n->index] = r;
        c.moments[i].h = NEW_ARRAY(temp, double, r->depth * r->depth);
        c.moments[i].most = 4 * r->depth > 1024 ? 4 * r->depth : 1024;
    }
    for (int k = 0; ok && k < c.samples; k++) {
        ok = run_sample(p, (int)((int64_t)k * p->opt->nsample / c.samples),
                        false, collect_walk, &c, NULL, run);
        arena_reset(run);
    }
    for (int i = 0; ok && i < p->nproduct; i++)
        if (c.moments[i].h)
            try_int4(p, &p->product[i], &c.moments[i]);
    arena_free(temp);
    arena_free(run);
    arena_free(c.arena);
    return ok;
}
