/* gridsample.c - GridSample (ONNX 22), AffineGrid (20), after the ONNX
 * reference. Coordinates are computed in float unless the grid is double, as
 * in the generated C, so that nearest picks the same element. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "../hooks.h"
#include "image.h"
#include "real.h"

static bool read_modes(const Node *n, Grid *g)
{
    const Attr_gridsample *a = ATTRS(gridsample, n);
    const char *m = a->mode, *p = a->padding_mode;

    if (!strcmp(m, "nearest"))
        g->mode = GRID_NEAREST;
    else if (!strcmp(m, "linear") || !strcmp(m, "bilinear"))
        g->mode = GRID_LINEAR;
    else if (!strcmp(m, "cubic") || !strcmp(m, "bicubic"))
        g->mode = GRID_CUBIC;
    else
        return node_error(n, "mode '%s' is unknown", m);
    if (!strcmp(p, "zeros"))
        g->pad = GRID_ZEROS;
    else if (!strcmp(p, "border"))
        g->pad = GRID_BORDER;
    else if (!strcmp(p, "reflection"))
        g->pad = GRID_REFLECT;
    else
        return node_error(n, "padding_mode '%s' is unknown", p);
    g->align = a->align_corners != 0;
    return true;
}

bool grid_read(const Node *n, Grid *g, Type *y)
{
    const Type *x = &n->in[0]->type, *t = &n->in[1]->type;

    if (!read_modes(n, g))
        return false;
    g->rank = x->rank - 2;
    if (g->rank < 1 || g->rank > 3 || t->rank != x->rank)
        return node_error(n, "input of rank %d and grid of rank %d, must be "
                          "the same and 3 to 5", x->rank, t->rank);
    if (!dtype_is_float(t->dt) || dtype_bits(x->dt) < 8 ||
        (!dtype_is_float(x->dt) && g->mode != GRID_NEAREST))
        return node_error(n, "cannot sample %s at %s points",
                          dtype_name(x->dt), dtype_name(t->dt));
    if (t->dim[0] != x->dim[0] || t->dim[t->rank - 1] != g->rank)
        return node_error(n, "grid has batch %lld and %lld coordinates, must "
                          "have %lld and %d", (long long)t->dim[0],
                          (long long)t->dim[t->rank - 1],
                          (long long)x->dim[0], g->rank);
    g->batch = x->dim[0];
    g->channels = x->dim[1];
    g->plane = type_span(x, 2, x->rank);
    g->points = type_span(t, 1, t->rank - 1);
    *y = *x;
    for (int i = 0; i < g->rank; i++) {
        g->in[i] = x->dim[i + 2];
        y->dim[i + 2] = t->dim[i + 1];
        if (g->in[i] < 1 || g->in[i] > INT_MAX / 4 ||
            g->plane > INT_MAX / 4 || g->points > INT_MAX / 4)
            return node_error(n, "spatial axis %d has %lld elements", i,
                              (long long)g->in[i]);
    }
    return true;
}

bool infer_gridsample(Graph *graph, Node *n)
{
    Grid g;

    (void)graph;
    return grid_read(n, &g, &n->out[0]->type);
}

/* -1..1 to elements, in the precision of the grid's type */
static double to_elements(const Grid *g, DType dt, double v, int axis)
{
    double len = (double)g->in[axis];
    float f = (float)v, l = (float)len;

    if (dt == DT_F64)
        return g->align ? (v + 1) / 2 * (len - 1) : ((v + 1) * len - 1) / 2;
    return (double)(g->align ? (f + 1) / 2 * (l - 1) : ((f + 1) * l - 1) / 2);
}

static double reflect(double x, double low, double high)
{
    double span = high - low, d, n, r;

    if (span <= 0)
        return low;
    if (x >= low && x <= high)
        return x;
    d = x < low ? low - x : x - high;
    n = floor(d / span);
    r = d - n * span;
    return (fmod(n, 2) == 0) == (x < low) ? low + r : high - r;
}

/* Reads of one point along one axis: index (-1: nothing) and coefficient. */
typedef struct Taps {
    int n;
    int64_t index[4];
    double coef[4];
} Taps;

static int64_t place(const Grid *g, int axis, int64_t i)
{
    int64_t last = g->in[axis] - 1;
    double edge = g->align ? 0 : 0.5;

    if (i >= 0 && i <= last)
        return i;
    if (g->pad == GRID_ZEROS)
        return -1;
    if (g->pad == GRID_REFLECT)
        i = (int64_t)reflect((double)i, -edge, (double)last + edge);
    return i < 0 ? 0 : i > last ? last : i;
}

static void cubic_coefs(double t, double *c)
{
    const double a = -0.75;

    c[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    c[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    c[2] = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1;
    c[3] = ((a * (2 - t) - 5 * a) * (2 - t) + 8 * a) * (2 - t) - 4 * a;
}

static void find_taps(const Grid *g, DType dt, double v, int axis, Taps *t)
{
    double x = to_elements(g, dt, v, axis), low;
    double last = (double)(g->in[axis] - 1), edge = g->align ? 0 : 0.5;

    if (g->mode == GRID_NEAREST)
        x = rint(x);
    if (!(x >= -edge && x <= last + edge)) {
        if (g->pad == GRID_BORDER)
            x = x > 0 ? last : 0;
        else if (g->pad == GRID_REFLECT && isfinite(x))
            x = reflect(x, -edge, last + edge);
    }
    if (!(x > -1e9))            /* far away, or NaN: outside */
        x = -1e9;
    x = x < 1e9 ? x : 1e9;
    low = floor(x);
    t->n = g->mode == GRID_NEAREST ? 1 : g->mode == GRID_LINEAR ? 2 : 4;
    t->coef[0] = g->mode == GRID_LINEAR ? 1 - (x - low) : 1;
    t->coef[1] = x - low;
    if (g->mode == GRID_CUBIC)
        cubic_coefs(x - low, t->coef);
    for (int k = 0; k < t->n; k++)
        t->index[k] = place(g, axis, (g->mode == GRID_NEAREST ? (int64_t)x
                                      : (int64_t)low) +
                                     k - (g->mode == GRID_CUBIC));
}

static double sample(const Grid *g, const Taps *t, int axis, const Tensor *x,
                     int64_t base)
{
    double sum = 0;

    if (axis == g->rank)
        return elem_get(x->type.dt, x->data, base);
    for (int k = 0; k < t[axis].n; k++)
        if (t[axis].index[k] >= 0)
            sum += t[axis].coef[k] *
                   sample(g, t, axis + 1, x,
                          base * g->in[axis] + t[axis].index[k]);
    return sum;
}

/* nearest copies the element, exact for 64-bit integers */
static void pick(const Grid *g, const Taps *t, const Tensor *x, int64_t plane,
                 Tensor *y, int64_t i)
{
    for (int a = 0; a < g->rank; a++) {
        if (t[a].index[0] < 0)
            return;             /* y is zeroed */
        plane = plane * g->in[a] + t[a].index[0];
    }
    if (dtype_is_float(x->type.dt))
        elem_set(y->type.dt, y->data, i,
                 elem_get(x->type.dt, x->data, plane));
    else
        elem_set_int(y->type.dt, y->data, i,
                     elem_get_int(x->type.dt, x->data, plane));
}

bool eval_gridsample(const Node *n, const Tensor *const *in,
                     Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Tensor *x = in[0], *grid = in[1];
    Type shape;
    Grid g;

    (void)scratch;
    (void)diag;
    if (!grid_read(n, &g, &shape))
        return false;
    for (int64_t p = 0; p < g.batch * g.points; p++) {
        Taps t[3];
        for (int a = 0; a < g.rank; a++)
            find_taps(&g, grid->type.dt,
                      elem_get(grid->type.dt, grid->data,
                               p * g.rank + g.rank - 1 - a), a, &t[a]);
        for (int64_t c = 0; c < g.channels; c++) {
            int64_t plane = p / g.points * g.channels + c;
            int64_t i = plane * g.points + p % g.points;
            if (g.mode == GRID_NEAREST)
                pick(&g, t, x, plane, out[0], i);
            else
                elem_set(out[0]->type.dt, out[0]->data, i,
                         sample(&g, t, 0, x, plane));
        }
    }
    return true;
}

bool infer_affinegrid(Graph *graph, Node *n)
{
    const Type *t = &n->in[0]->type, *s = &n->in[1]->type;
    Type *y = &n->out[0]->type;
    int rank = t->rank == 3 ? (int)t->dim[1] : 0, count;
    int64_t size[MAX_RANK], dim[MAX_RANK];

    (void)graph;
    if (!dtype_is_float(t->dt) || (rank != 2 && rank != 3) ||
        t->dim[2] != rank + 1)
        return node_error(n, "theta must be [batch, 2, 3] or [batch, 3, 4] "
                          "of floats");
    if (s->dt != DT_I64 || s->rank != 1 || s->dim[0] != rank + 2)
        return node_error(n, "size must be int64 with %d values", rank + 2);
    if (!value_ints(n->in[1], MAX_RANK, size, &count)) {
        if (!infer_declared(n, n->in[1]))
            return false;
        return y->rank == rank + 2 && y->dt == t->dt &&
               y->dim[0] == t->dim[0] && y->dim[rank + 1] == rank ? true
            : node_error(n, "output is declared with another type");
    }
    if (size[0] != t->dim[0])
        return node_error(n, "size says batch %lld, theta has %lld",
                          (long long)size[0], (long long)t->dim[0]);
    dim[0] = size[0];
    dim[rank + 1] = rank;
    for (int i = 0; i < rank; i++) {
        dim[i + 1] = size[i + 2];
        if (size[i + 2] < 0)
            return node_error(n, "size is %lld on axis %d",
                              (long long)size[i + 2], i);
    }
    *y = type_make(t->dt, rank + 2, dim);
    return true;
}

double affine_spread(int64_t i, int64_t n, bool align)
{
    if (align)
        return n == 1 ? 0 : 2 * (double)i / (double)(n - 1) - 1;
    return (2 * (double)i + 1) / (double)n - 1;
}

bool eval_affinegrid(const Node *n, const Tensor *const *in,
                     Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Type *t = &out[0]->type;
    int rank = t->rank - 2;
    int64_t points = type_span(t, 1, rank + 1);
    double *theta = real_load(in[0], scratch);
    bool align = ATTRS(affinegrid, n)->align_corners != 0;

    (void)diag;
    for (int64_t p = 0; p < t->dim[0] * points; p++) {
        const double *row = theta + p / points * rank * (rank + 1);
        double at[3] = { 0 };
        int64_t rest = p % points;
        for (int a = rank - 1; a >= 0; a--) {   /* x first, then y, z */
            at[rank - 1 - a] = affine_spread(rest % t->dim[a + 1],
                                             t->dim[a + 1], align);
            rest /= t->dim[a + 1];
        }
        for (int k = 0; k < rank; k++, row += rank + 1) {
            double sum = row[rank];
            for (int a = 0; a < rank; a++)
                sum += row[a] * at[a];
            elem_set(t->dt, out[0]->data, p * rank + k, sum);
        }
    }
    return true;
}
