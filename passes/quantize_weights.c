/* quantize_weights.c - constant weights behind DequantizeLinear: codes with
 * the zero point taken out (quantize_split.c: those that leave int8), one
 * scale per output channel (or per group of one), biases counted in units of
 * the accumulator. */
#include <math.h>
#include <string.h>

#include "../ir/ops/quant.h"
#include "quantize.h"

/* A DequantizeLinear whose operands are all constant. */
static const Node *constant_codes(Site *s, const Value *v)
{
    const Node *n = maker(v, OP_DequantizeLinear);

    for (int i = 0; n && i < n->nin; i++)
        if (n->in[i] && !value_is_const(n->in[i]))
            n = NULL;
    if (!n)
        site_no(s, "the weights '%s' are not quantized constants", v->name);
    return n;
}

/* Which scale belongs to element (row, col)? */
typedef struct Scales {
    const Node *n;
    QuantMap m;
    bool by_cols;
    int64_t rows, cols;
} Scales;

static int64_t elem_of(const Scales *t, int64_t row, int64_t col)
{
    return t->by_cols ? col * t->rows + row : row * t->cols + col;
}

static int64_t scale_of(const Scales *t, int64_t elem)
{
    const QuantMap *m = &t->m;
    int64_t k = elem % m->inner, a = elem / m->inner % m->len;

    return elem / m->inner / m->len * m->so + a / m->block * m->sa +
           k * m->si;
}

/* Seen from the form of the map alone: one scale for all of a row. */
static bool scale_per_row(const Scales *t)
{
    const QuantMap *m = &t->m;

    if (m->so == 0 && m->sa == 0 && m->si == 0)
        return true;
    return t->by_cols ? m->so == 0 && m->len * m->inner == t->rows
                      : m->si == 0 && m->inner % t->cols == 0;
}

/* Columns that share a scale in every row: all, a divisor of cols, or 0 when
 * the scales do not run that way. */
static int64_t group_size(const Scales *t)
{
    int64_t size = t->cols;

    if (scale_per_row(t))
        return size;
    for (int64_t r = 0; r < t->rows; r++) {
        int64_t run = 1;
        for (int64_t c = 1; c <= t->cols; c++, run++) {
            if (c < t->cols && scale_of(t, elem_of(t, r, c)) ==
                scale_of(t, elem_of(t, r, c - 1)))
                continue;
            if (run < size)
                size = run;
            run = 0;
        }
    }
    if (t->cols % size)
        return 0;
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = 0; c < t->cols; c++)
            if (scale_of(t, elem_of(t, r, c)) !=
                scale_of(t, elem_of(t, r, c - c % size)))
                return 0;
    return size;
}

static bool all_zero(const Value *z)
{
    for (int64_t i = 0; z && i < type_elems(&z->type); i++)
        if (elem_get_int(z->type.dt, z->data, i))
            return false;
    return true;
}

/* Columns of x become rows, block by block of a cache. */
static void turn_codes(const int8_t *x, int8_t *code, int64_t rows,
                       int64_t cols)
{
    enum { BLOCK = 64 };

    for (int64_t r0 = 0; r0 < rows; r0 += BLOCK)
        for (int64_t c0 = 0; c0 < cols; c0 += BLOCK)
            for (int64_t r = r0; r < rows && r < r0 + BLOCK; r++)
                for (int64_t c = c0; c < cols && c < c0 + BLOCK; c++)
                    code[r * cols + c] = x[c * rows + r];
}

static bool read_codes(Site *s, const Scales *t, Weights *w)
{
    const Value *x = t->n->in[0], *z = node_in(t->n, 2);
    int64_t least = 0, most = 0;

    w->code = NEW_ARRAY(s->g->arena, int8_t, w->rows * w->cols);
    if (x->type.dt == DT_I8 && all_zero(z)) {
        if (t->by_cols)
            turn_codes(x->data, w->code, w->rows, w->cols);
        else
            memcpy(w->code, x->data, (size_t)(w->rows * w->cols));
        return true;
    }
    w->wide = NEW_ARRAY(s->g->arena, int16_t, w->rows * w->cols);
    for (int64_t r = 0; r < w->rows; r++)
        for (int64_t c = 0; c < w->cols; c++) {
            int64_t e = elem_of(t, r, c);
            int64_t code = elem_get_int(x->type.dt, x->data, e) -
                (z ? elem_get_int(z->type.dt, z->data, scale_of(t, e)) : 0);
            if (code < -256 || code > 255)
                return site_no(s, "weight %lld of '%s' less its zero point is"
                               " %lld, beyond 9 bits", (long long)e, x->name,
                               (long long)code);
            least = code < least ? code : least;
            most = code > most ? code : most;
            w->wide[r * w->cols + c] = (int16_t)code;
            w->code[r * w->cols + c] = (int8_t)code;
        }
    w->nibbles = least >= -8 && most <= 7 && dtype_bits(x->type.dt) == 4;
    if (least >= -128 && most <= 127)
        w->wide = NULL;
    return true;
}

bool weights_read(Site *s, const Value *v, bool by_cols, int64_t rows,
                  int64_t cols, Weights *w)
{
    Scales t = { constant_codes(s, v), { 0 }, by_cols, rows, cols };
    const Value *scale;
    int64_t size;

    if (!t.n || !quant_map(t.n, &t.m))
        return false;
    *w = (Weights){ .rows = rows, .cols = cols };
    if (rows < 1 || cols < 1 || !(size = group_size(&t)))
        return site_no(s, "the scales of '%s' run across the sums, or leave "
                       "a part of a group", v->name);
    if (!read_codes(s, &t, w))
        return false;
    w->groups = cols / size;
    w->scale = NEW_ARRAY(s->g->arena, float, rows * w->groups);
    scale = t.n->in[1];
    for (int64_t i = 0; i < rows * w->groups; i++) {
        int64_t e = elem_of(&t, i / w->groups, i % w->groups * size);
        w->scale[i] = (float)elem_get(scale->type.dt, scale->data,
                                      scale_of(&t, e));
    }
    return true;
}

Value *weights_codes(Graph *g, const Weights *w, const char *name, Type t)
{
    int64_t n = w->rows * w->cols;
    void *p;

    t.dt = w->nibbles ? DT_I4 : DT_I8;
    if (!w->nibbles)
        return graph_const(g, name, t, w->code);
    p = arena_alloc(g->arena, (size_t)type_bytes(&t));
    for (int64_t i = 0; i < n; i++)
        elem_set_int(DT_I4, p, i, w->code[i]);
    return graph_const(g, name, t, p);
}

/* One scale where all rows agree. */
Value *weights_scales(Graph *g, const Weights *w, const char *name)
{
    Type t = type_vector(DT_F32, w->rows);
    bool equal = true;

    for (int64_t i = 1; i < w->rows * w->groups; i++)
        equal = equal && w->scale[i] == w->scale[0];
    if (w->groups > 1 && !equal) {
        t.rank = 2;
        t.dim[1] = w->groups;
    } else if (equal) {
        t.dim[0] = 1;
    }
    return graph_const(g, name, t, w->scale);
}

static bool row_is_zero(const Weights *w, int64_t row)
{
    for (int64_t c = 0; c < w->cols; c++)
        if (w->code[row * w->cols + c])
            return false;
    return true;
}

/* The scale that a row's bias goes by: with groups, the largest. */
static double bias_scale(const Weights *w, int64_t row)
{
    float most = 0;

    for (int64_t i = row * w->groups; i < (row + 1) * w->groups; i++)
        most = w->scale[i] > most ? w->scale[i] : most;
    return (double)most;
}

Value *weights_bias(Site *s, Weights *w, double xscale, const double *bias,
                    const char *name)
{
    int32_t *p = NEW_ARRAY(s->g->arena, int32_t, w->rows);

    for (int64_t i = 0; i < w->rows; i++) {
        double b = bias[i] / (xscale * bias_scale(w, i)), off;
        if (fabs(b) > (1 << 24) && row_is_zero(w, i) && w->groups == 1 &&
            isfinite(bias[i])) {
            w->scale[i] = (float)(fabs(bias[i]) / xscale / (1 << 20));
            b = bias[i] / (xscale * (double)w->scale[i]);
        }
        off = b - floor(b + 0.5);
        b -= off;
        off = fabs(off) * xscale * bias_scale(w, i) / s->y.scale;
        if (off > 0.5) {
            site_no(s, "bias %lld is %g, but sums are in units of %g: the "
                    "result would be %g codes off", (long long)i, bias[i],
                    xscale * bias_scale(w, i), off);
            return NULL;
        }
        if (!(fabs(b) < 2147483648.0)) {
            site_no(s, "bias %lld is %g, more than int32 holds at the scale "
                    "%g", (long long)i, bias[i],
                    xscale * bias_scale(w, i));
            return NULL;
        }
        p[i] = (int32_t)b;
    }
    return graph_const(s->g, name, type_vector(DT_I32, w->rows), p);
}
