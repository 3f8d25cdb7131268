/* qmap.c - QAdd, QMul, QLookup, QRequantize: elementwise ops on codes. The
 * arithmetic is pinned here; the kernels give the same bits. Additions have a
 * rounding of their own (one for both operands), products and scales that of
 * requant.h. */
#include "qmap.h"

#include <math.h>

#include "../hooks.h"
#include "../nest.h"

/* An int32 accumulator may be off by a multiplier's rounding times a code:
 * at most this part of a code of y, or the sum is wide. */
static const double coarsest = 1.0 / 16;

/* the greatest |code - zero| and |code| */
static double reach(const QParam *p)
{
    int64_t r = q_reach(p), l = q_largest(p);

    return (double)(r > l ? r : l);
}

/* What the sum and each part of it may reach: a * ma + b * mb + bias. */
static double sum_bound(const QSum *s, double fa, double fb, int shift)
{
    double one = ldexp(1, shift);

    return reach(&s->a) * floor(fa * one + 0.5) +
           reach(&s->b) * floor(fb * one + 0.5) +
           (fabs((double)s->y.zero) + 1) * one;
}

static bool set_sum(const Node *n, QSum *s, double fa, double fb)
{
    double limit;

    for (s->shift = 30; s->shift > 0; s->shift--)
        if (sum_bound(s, fa, fb, s->shift) < 2147483648.0)
            break;
    s->wide = sum_bound(s, fa, fb, s->shift) >= 2147483648.0 ||
              (reach(&s->a) + reach(&s->b)) / 2 > ldexp(coarsest, s->shift);
    limit = fa > fb ? fa : fb;
    for (int k = 30; s->wide && k >= s->shift; k--)
        if (floor(ldexp(limit, k) + 0.5) < 2147483648.0) {
            s->shift = k;
            break;
        }
    if (!(floor(ldexp(limit, s->shift) + 0.5) < 2147483648.0))
        return node_error(n, "scales %g and %g are too large for y_scale %g",
                          s->a.scale, s->b.scale, s->y.scale);
    s->ma = (int32_t)floor(ldexp(fa, s->shift) + 0.5);
    s->mb = (int32_t)floor(ldexp(fb, s->shift) + 0.5);
    s->bias = s->y.zero * ((int64_t)1 << s->shift) - s->a.zero * s->ma -
              s->b.zero * s->mb;
    if (s->shift)
        s->bias += (int64_t)1 << (s->shift - 1);
    return true;
}

static bool read_binary(const Node *n, QParam *a, QParam *b, QParam *y)
{
    const Attr_qbinary *at = ATTRS(qbinary, n);
    DType dt = n->in[0]->type.dt;

    return q_param(n, "a", dt, true, (double)at->a_scale, at->a_zp, a) &&
           q_param(n, "b", n->in[1]->type.dt, true, (double)at->b_scale,
                   at->b_zp, b) &&
           q_result(n, at->output_dtype, dt, true, (double)at->y_scale,
                    at->y_zp, at->lo, at->hi, y);
}

bool qadd_read(const Node *n, QSum *s)
{
    return read_binary(n, &s->a, &s->b, &s->y) &&
           set_sum(n, s, s->a.scale / s->y.scale, s->b.scale / s->y.scale);
}

static bool set_requant(const Node *n, double factor, int64_t most,
                        const QParam *y, int32_t *mult, Requant *r)
{
    int shift = requant_factors(&factor, 1, most, 0, mult);

    *r = (Requant){ shift, 1, mult, y->zero, y->least, y->most,
                     NULL };
    return shift >= 0 ||
           node_error(n, "values of up to %lld times a factor of %g do not "
                      "fit the fixed-point form", (long long)most, factor);
}

/* Products below 2^32, a multiplier below 2^31: their product and 2^47 stay
 * below 2^63. */
static bool set_wide(const Node *n, double factor, QProduct *p)
{
    p->wide = true;
    p->shift = 48;
    while (p->shift > 1 && floor(ldexp(factor, p->shift) + 0.5) >= 2147483648.0)
        p->shift--;
    p->mult = (int32_t)floor(ldexp(factor, p->shift) + 0.5);
    return p->shift > 1 ||
           node_error(n, "a factor of %g does not fit the fixed-point form",
                      factor);
}

bool qmul_read(const Node *n, QProduct *p)
{
    int64_t most;
    double factor;

    p->wide = false;
    if (!read_binary(n, &p->a, &p->b, &p->y))
        return false;
    factor = p->a.scale * p->b.scale / p->y.scale;
    most = q_reach(&p->a) * q_reach(&p->b);
    return most > INT32_MAX ? set_wide(n, factor, p)
                            : set_requant(n, factor, most, &p->y, &p->mult,
                                          &p->r);
}

/* Sums of codes instead of codes: x, as an int32 around 0. Their mean has the
 * bits of QReduceMean. */
static bool sum_param(const Node *n, QParam *x)
{
    const Attr_qrequantize *at = ATTRS(qrequantize, n);

    if (at->most < 1 || at->most > INT32_MAX || at->x_zp)
        return node_error(n, "int32 needs `most` from 1 to 2147483647 and "
                          "x_zp 0, not %lld and %lld", (long long)at->most,
                          (long long)at->x_zp);
    if (!q_param(n, "x", DT_I16, true, (double)at->x_scale, 0, x))
        return false;
    x->dt = DT_I32;
    x->least = -at->most;
    x->most = at->most;
    return true;
}

bool qrequantize_read(const Node *n, QScale *s)
{
    const Attr_qrequantize *at = ATTRS(qrequantize, n);
    DType dt = n->in[0]->type.dt;
    bool sums = dt == DT_I32;
    double factor;

    if (at->count < 1 || (!sums && (at->count > 1 || at->most)))
        return node_error(n, "a count of %lld needs sums, which are int32",
                          (long long)at->count);
    if (!(sums ? sum_param(n, &s->x)
               : q_param(n, "x", dt, true, (double)at->x_scale, at->x_zp,
                         &s->x)) ||
        !q_result(n, at->output_dtype, sums ? DT_I8 : dt, true,
                  (double)at->y_scale, at->y_zp, at->lo, at->hi, &s->y))
        return false;
    factor = sums ? requant_factor(s->x.scale, 1,
                                   (double)at->count * s->y.scale)
                  : s->x.scale / s->y.scale;
    if (!set_requant(n, factor, q_reach(&s->x), &s->y, &s->mult, &s->r))
        return false;
    if (sums)
        s->mult = requant_choose(factor, s->r.shift, &s->y);
    return true;
}

static bool infer_two(Node *n, DType dt)
{
    Type t;

    if (!type_broadcast(&n->in[0]->type, &n->in[1]->type, &t)) {
        Buf text;
        buf_init(&text, n->graph->scratch);
        type_print(&text, &n->in[0]->type);
        buf_puts(&text, " and ");
        type_print(&text, &n->in[1]->type);
        return node_error(n, "shapes %s do not broadcast", text.s);
    }
    t.dt = dt;
    n->out[0]->type = t;
    return true;
}

bool infer_qadd(Graph *g, Node *n)
{
    QSum s;

    (void)g;
    return qadd_read(n, &s) && infer_two(n, s.y.dt);
}

bool infer_qmul(Graph *g, Node *n)
{
    QProduct p;

    (void)g;
    return qmul_read(n, &p) && infer_two(n, p.y.dt);
}

bool infer_qrequantize(Graph *g, Node *n)
{
    QScale s;

    (void)g;
    if (!qrequantize_read(n, &s))
        return false;
    n->out[0]->type = n->in[0]->type;
    n->out[0]->type.dt = s.y.dt;
    return true;
}

bool infer_qlookup(Graph *g, Node *n)
{
    const Value *x = n->in[0], *t = n->in[1];

    (void)g;
    if (x->type.dt != DT_I8 && x->type.dt != DT_U8)
        return node_error(n, "looks up int8 or uint8, not %s",
                          dtype_name(x->type.dt));
    if (!value_is_const(t))
        return node_error(n, "table '%s' is not a constant", t->name);
    if (t->type.rank != 1 || t->type.dim[0] != 256)
        return node_error(n, "table '%s' must be a vector of 256", t->name);
    if (!dtype_is_int(t->type.dt) || dtype_bits(t->type.dt) < 8 ||
        dtype_bits(t->type.dt) > 16)
        return node_error(n, "table '%s' is %s, must have 8 or 16 bits",
                          t->name, dtype_name(t->type.dt));
    n->out[0]->type = x->type;
    n->out[0]->type.dt = t->type.dt;
    return true;
}

typedef struct Pair {
    const Tensor *a, *b;
    Tensor *y;
    const QSum *sum;            /* one of the two */
    const QProduct *product;
} Pair;

static int64_t clamp(int64_t x, const QParam *y)
{
    return x < y->least ? y->least : x > y->most ? y->most : x;
}

static int64_t add_codes(const QSum *s, int64_t a, int64_t b)
{
    int64_t acc = a * s->ma + b * s->mb + s->bias;

    return clamp(acc >> s->shift, &s->y);       /* the floor, of any sign */
}

static int64_t mul_codes(const QProduct *p, int64_t a, int64_t b)
{
    int64_t x = (a - p->a.zero) * (b - p->b.zero);

    if (!p->wide)
        return requant(&p->r, 0, x);
    x = (x * p->mult + ((int64_t)1 << (p->shift - 1))) >> p->shift;
    return clamp(x + p->y.zero, &p->y);
}

static void pair_row(void *user, const Nest *l, const int64_t *at)
{
    const Pair *p = user;
    int last = l->rank - 1;

    for (int64_t i = 0; i < l->n[last]; i++) {
        int64_t a = elem_get_int(p->a->type.dt, p->a->data,
                                 at[0] + i * l->stride[0][last]);
        int64_t b = elem_get_int(p->b->type.dt, p->b->data,
                                 at[1] + i * l->stride[1][last]);
        int64_t y = p->sum ? add_codes(p->sum, a, b)
                           : mul_codes(p->product, a, b);
        elem_set_int(p->y->type.dt, p->y->data, at[2] + i, y);
    }
}

static bool eval_pair(const Tensor *const *in, Tensor *y, const QSum *sum,
                      const QProduct *product)
{
    Pair p = { in[0], in[1], y, sum, product };
    Nest l;

    nest_init(&l, y->type.rank, y->type.dim);
    nest_broadcast(&l, &in[0]->type);
    nest_broadcast(&l, &in[1]->type);
    nest_dense(&l);
    nest_collapse(&l);
    nest_walk(&l, pair_row, &p);
    return true;
}

bool eval_qadd(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    QSum s;

    (void)scratch;
    (void)diag;
    return qadd_read(n, &s) && eval_pair(in, out[0], &s, NULL);
}

bool eval_qmul(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    QProduct p;

    (void)scratch;
    (void)diag;
    return qmul_read(n, &p) && eval_pair(in, out[0], NULL, &p);
}

bool eval_qrequantize(const Node *n, const Tensor *const *in,
                      Tensor *const *out, Arena *scratch, Diag *diag)
{
    int64_t count = type_elems(&in[0]->type);
    QScale s;

    (void)scratch;
    (void)diag;
    if (!qrequantize_read(n, &s))
        return false;
    for (int64_t i = 0; i < count; i++)
        elem_set_int(s.y.dt, out[0]->data, i,
                     requant(&s.r, 0, elem_get_int(s.x.dt, in[0]->data, i) -
                                      s.x.zero));
    return true;
}

bool eval_qlookup(const Node *n, const Tensor *const *in, Tensor *const *out,
                  Arena *scratch, Diag *diag)
{
    int64_t count = type_elems(&in[0]->type);
    DType dt = out[0]->type.dt;

    (void)n;
    (void)scratch;
    (void)diag;
    for (int64_t i = 0; i < count; i++) {
        int64_t x = elem_get_int(in[0]->type.dt, in[0]->data, i);
        elem_set_int(dt, out[0]->data, i,
                     elem_get_int(dt, in[1]->data, qlookup_index(x)));
    }
    return true;
}
