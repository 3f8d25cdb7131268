/* qconv.c - QConv: convolution of codes, channels last. The interpreter
 * computes exact sums in double on a planar copy of x - zero (padding is
 * then 0) with the same product as Conv, and requantizes each. */
#include "../hooks.h"
#include "qproduct.h"

#include <string.h>

/* Blocks of a fixed length are what compilers vectorize at -O2. */
static void block_sums(const int8_t *p, int32_t *magnitude, int32_t *sum)
{
    int32_t m = 0, s = 0;

    for (int i = 0; i < 64; i++) {
        int32_t x = p[i];
        m += x < 0 ? -x : x;
        s += x;
    }
    *magnitude = m;
    *sum = s;
}

void weight_sums(const Value *w, int64_t from, int64_t n, int64_t *magnitude,
                 int64_t *sum)
{
    int64_t m = 0, s = 0, i = from, end = from + n;
    const int8_t *p = w->data;

    for (; w->type.dt == DT_I8 && i + 64 <= end; i += 64) {
        int32_t block_m, block_s;
        block_sums(p + i, &block_m, &block_s);
        m += block_m;
        s += block_s;
    }
    for (; i < end; i++) {
        int64_t x = elem_get_int(w->type.dt, w->data, i);
        m += x < 0 ? -x : x;
        s += x;
    }
    *magnitude = m;
    *sum = s;
}

/* the largest |sum| of any channel; message where the sums with the zero
 * point folded into the bias, which kernels may use, would overflow */
static bool bound(const Node *n, const QConv *c, int64_t *most)
{
    int64_t k = c->s.cg * window_elems(&c->s.win), m, s;

    *most = 0;
    for (int64_t i = 0; i < c->s.group * c->s.mg; i++) {
        int64_t b = c->bias ? c->bias[i] : 0, plain, folded;
        weight_sums(c->w, i * k, k, &m, &s);
        plain = (b < 0 ? -b : b) + m * q_reach(&c->x);
        b -= s * c->x.zero;
        folded = dtype_bits(c->x.dt) > 8
                     ? plain : (b < 0 ? -b : b) + m * q_largest(&c->x);
        if (folded > INT32_MAX)
            return node_error(n, "sums of channel %lld, up to %lld, do not "
                              "fit 32 bits", (long long)i,
                              (long long)folded);
        *most = plain > *most ? plain : *most;
    }
    return true;
}

static bool geometry(const Node *n, const Type *x, const Type *w,
                     ConvShape *s)
{
    const Attr_qconv *a = ATTRS(qconv, n);
    WindowAttrs wa = { "NOTSET", &a->dilations, &a->pads, &a->strides,
                       false };
    Type spatial = *w;
    int64_t channels = x->dim[a->planar ? 1 : 3];

    memset(s, 0, sizeof *s);
    s->win.rank = 2;
    for (int i = 0; i < 2; i++) {
        s->win.in[i] = x->dim[i + (a->planar ? 2 : 1)];
        spatial.dim[2 + i] = w->dim[1 + i];
    }
    if (!window_kernel(n, &a->kernel_shape, &spatial, &s->win) ||
        !window_make(n, &wa, &s->win))
        return false;
    if (s->win.kernel[0] > MOST_ROWS)
        return node_error(n, "the window has %lld rows, at most %d are "
                          "supported", (long long)s->win.kernel[0],
                          MOST_ROWS);
    s->batch = x->dim[0];
    s->group = a->group;
    s->cg = w->dim[3];
    if (s->group < 1 || channels % s->group || w->dim[0] % s->group)
        return node_error(n, "group %lld does not divide %lld input and %lld "
                          "output channels", (long long)s->group,
                          (long long)channels, (long long)w->dim[0]);
    if (s->cg != channels / s->group || !s->cg)
        return node_error(n, "weights want %lld input channels per group, "
                          "the input has %lld", (long long)s->cg,
                          (long long)(channels / s->group));
    s->mg = w->dim[0] / s->group;
    return true;
}

static bool operands(const Node *n, QConv *c)
{
    const Value *x = n->in[0], *w = n->in[1], *b = node_in(n, 3);

    if (x->type.rank != 4 || w->type.rank != 4)
        return node_error(n, "input has rank %d and weights have rank %d, "
                          "both must be 4", x->type.rank, w->type.rank);
    if (!value_is_const(w) ||
        (w->type.dt != DT_I8 && w->type.dt != DT_I4))
        return node_error(n, "weights '%s' are not an int8 or int4 constant",
                          w->name);
    if (b && (!value_is_const(b) || b->type.dt != DT_I32 ||
              b->type.rank != 1 || b->type.dim[0] != w->type.dim[0]))
        return node_error(n, "bias '%s' is not an int32 constant of %lld "
                          "elements", b->name, (long long)w->type.dim[0]);
    c->w = w;
    c->bias = b ? b->data : NULL;
    return true;
}

bool qconv_shape(const Node *n, QConv *c)
{
    const Attr_qconv *a = ATTRS(qconv, n);

    *c = (QConv){ .planar = a->planar != 0 };
    return operands(n, c) &&
           geometry(n, &n->in[0]->type, &c->w->type, &c->s) &&
           q_factor(n, "x", n->in[0]->type.dt, (double)a->x_scale, a->x_zp,
                    &c->x) &&
           q_result(n, a->output_dtype, c->x.dt, true, (double)a->y_scale,
                    a->y_zp, a->lo, a->hi, &c->y);
}

/* without the choice of multipliers */
static bool qconv_fits(const Node *n, QConv *c, Arena *arena)
{
    const double *ws;
    double *factor;
    int64_t most, count;

    if (!qconv_shape(n, c) ||
        !(ws = q_scales(n, 2, c->w->type.dim[0], arena)) ||
        !bound(n, c, &most))
        return false;
    count = type_elems(&n->in[2]->type);
    factor = NEW_ARRAY(arena, double, count);
    for (int64_t i = 0; i < count; i++)
        factor[i] = requant_factor(c->x.scale, ws[i], c->y.scale);
    return requant_fit(n, factor, count, most, ATTRS(qconv, n)->shift, &c->y,
                       arena, &c->rq);
}

bool qconv_get(const Node *n, QConv *c, Arena *arena)
{
    if (!qconv_fits(n, c, arena))
        return false;
    requant_settle(&c->y, arena, &c->rq);
    return true;
}

bool infer_qconv(Graph *g, Node *n)
{
    QConv c;

    if (!qconv_fits(n, &c, g->scratch))
        return false;
    n->out[0]->type = (Type){ c.y.dt, 4, { c.s.batch, c.s.win.out[0],
                                           c.s.win.out[1],
                                           c.s.group * c.s.mg } };
    return true;
}

/* x - zero as [N][C][H][W] */
static double *planar_image(const QConv *c, const Tensor *x, Arena *arena)
{
    int64_t channels = c->s.group * c->s.cg;
    int64_t pixels = c->s.win.in[0] * c->s.win.in[1];
    int64_t total = c->s.batch * channels * pixels;
    double *d = NEW_ARRAY(arena, double, total);

    for (int64_t i = 0; i < total; i++) {
        int64_t b = i / (channels * pixels), ch = i / pixels % channels;
        int64_t at = c->planar ? i
                               : (b * pixels + i % pixels) * channels + ch;
        d[i] = (double)(elem_get_int(x->type.dt, x->data, at) - c->x.zero);
    }
    return d;
}

/* [M][cg][kH][kW] */
static double *planar_weights(const QConv *c, const Tensor *w, Arena *arena)
{
    int64_t taps = window_elems(&c->s.win), cg = c->s.cg;
    int64_t total = c->s.group * c->s.mg * cg * taps;
    double *d = NEW_ARRAY(arena, double, total);

    for (int64_t i = 0; i < total; i++) {
        int64_t m = i / (cg * taps), t = i / cg % taps, ch = i % cg;
        d[(m * cg + ch) * taps + t] =
            (double)elem_get_int(w->type.dt, w->data, i);
    }
    return d;
}

bool eval_qconv(const Node *n, const Tensor *const *in, Tensor *const *out,
                Arena *scratch, Diag *diag)
{
    int64_t channels, pixels, total;
    double *y;
    QConv c;

    (void)diag;
    if (!qconv_get(n, &c, scratch))
        return false;
    channels = c.s.group * c.s.mg;
    pixels = c.s.win.out[0] * c.s.win.out[1];
    total = c.s.batch * channels * pixels;
    y = NEW_ARRAY(scratch, double, total);
    conv_product(&c.s, CLASS_F64, planar_image(&c, in[0], scratch),
                 planar_weights(&c, in[1], scratch), y, scratch);
    for (int64_t i = 0; i < total; i++) {
        int64_t b = i / (channels * pixels), ch = i / pixels % channels;
        int64_t acc = (int64_t)y[i] + (c.bias ? c.bias[ch] : 0);
        elem_set_int(out[0]->type.dt, out[0]->data,
                     (b * pixels + i % pixels) * channels + ch,
                     requant(&c.rq, ch, acc));
    }
    return true;
}
