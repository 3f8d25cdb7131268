/* quantize_deconv.c - ConvTranspose between Q and DQ as a QConv.
 *
 * Output o of an axis with stride s adds w[k] x[i] where i s + k = o + pad. So
 * the outputs of one phase, o = j s + r, are a convolution with every s-th tap,
 * backwards. All phases are the channels of one QConv, and its result
 * [.., H, W, phases of H, phases of W, M] only needs its elements moved.
 * Phases with fewer taps than others get weights of 0. Where phases begin
 * before the result does (`skip`), the taps of all may fit a smaller window.
 */
#include <string.h>

#include "quantize_layout.h"
#include "quantize_product.h"

/* One axis. Element j of phase r is output j s + r - skip; its tap u reads
 * input j + first + u with weight r + base - s (first + u). */
typedef struct Axis {
    int64_t kernel, stride, in, out, skip;
    int64_t base, first, taps, count;
} Axis;

static int64_t floor_div(int64_t a, int64_t b)
{
    return a < 0 ? -((b - 1 - a) / b) : a / b;
}

static void set_phases(Axis *a, int64_t pad, int64_t skip)
{
    int64_t last;

    a->skip = skip;
    a->base = pad - skip;
    a->count = (a->out + skip + a->stride - 1) / a->stride;
    a->first = INT64_MAX;
    last = INT64_MIN;
    for (int64_t r = 0; r < a->stride; r++) {
        int64_t end = floor_div(r + a->base, a->stride);
        int64_t k = r + a->base - a->stride * end;  /* its first weight */
        if (k >= a->kernel)
            continue;
        k += (a->kernel - 1 - k) / a->stride * a->stride;
        last = end > last ? end : last;
        end = (r + a->base - k) / a->stride;        /* divides */
        a->first = end < a->first ? end : a->first;
    }
    a->taps = last - a->first + 1;
}

static int64_t pad_end(const Axis *a)
{
    return a->count - 1 + a->first + a->taps - a->in;
}

/* With the fewest products. */
static bool set_axis(Site *s, const Window *w, int i, Axis *a)
{
    int64_t best = -1, least = INT64_MAX;

    *a = (Axis){ .kernel = w->kernel[i], .stride = w->stride[i],
                 .in = w->out[i], .out = w->in[i] };
    if (w->dilation[i] != 1)
        return site_no(s, "its filter is dilated");
    if (a->stride > 4 * a->kernel)      /* hardly any weight is not 0 */
        return site_no(s, "its stride %lld is far beyond its filter's %lld",
                       (long long)a->stride, (long long)a->kernel);
    for (int64_t skip = 0; skip < a->stride && skip < 64; skip++) {
        set_phases(a, w->pad[i], skip);
        if (a->first > 0 || pad_end(a) < 0 || a->taps * a->count >= least)
            continue;
        best = skip;
        least = a->taps * a->count;
    }
    if (best < 0)
        return site_no(s, "its padding is more than its filter");
    set_phases(a, w->pad[i], best);
    return true;
}

typedef struct Deconv {
    ConvShape shape;            /* of the ConvTranspose */
    Axis axis[2];               /* of a signal the first is one row */
} Deconv;

/* Row r of the QConv's weights, in order [group][phase H][phase W][m]. */
typedef struct Row {
    int64_t group, phase[2], m;
} Row;

static Row row_of(const Deconv *d, int64_t r)
{
    const Axis *h = &d->axis[0], *w = &d->axis[1];
    int64_t mg = d->shape.mg;

    return (Row){ r / mg / w->stride / h->stride,
                  { r / mg / w->stride % h->stride, r / mg % w->stride },
                  r % mg };
}

/* The weight's tap, for that of the QConv; -1: it is 0 */
static int64_t source(const Deconv *d, const Row *r, int64_t tap)
{
    const Axis *h = &d->axis[0], *w = &d->axis[1];
    int64_t th = tap / w->taps, tw = tap % w->taps;
    int64_t kh = r->phase[0] + h->base - h->stride * (h->first + th);
    int64_t kw = r->phase[1] + w->base - w->stride * (w->first + tw);

    if (kh < 0 || kh >= h->kernel || kw < 0 || kw >= w->kernel)
        return -1;
    return kh * w->kernel + kw;
}

/* from: one row per output channel of a group and tap, a column per input
 * channel */
static void phase_weights(Graph *g, const Deconv *d, const Weights *from,
                          Weights *w)
{
    const Axis *a = d->axis;
    int64_t taps = a[0].taps * a[1].taps, at = 0;
    int64_t kernel = a[0].kernel * a[1].kernel;

    *w = (Weights){ .rows = d->shape.group * d->shape.mg * a[0].stride *
                            a[1].stride,
                    .cols = d->shape.cg * taps, .groups = 1 };
    w->nibbles = from->nibbles;
    w->code = NEW_ARRAY(g->arena, int8_t, w->rows * w->cols);
    w->scale = NEW_ARRAY(g->arena, float, w->rows);
    if (from->wide)
        w->wide = NEW_ARRAY(g->arena, int16_t, w->rows * w->cols);
    for (int64_t i = 0; i < w->rows; i++) {
        Row r = row_of(d, i);
        w->scale[i] = from->scale[r.m * kernel];
        for (int64_t c = 0; c < d->shape.cg; c++)
            for (int64_t t = 0; t < taps; t++, at++) {
                int64_t tap = source(d, &r, t);
                int64_t k = tap < 0 ? -1 : (r.m * kernel + tap) * from->cols +
                                           r.group * d->shape.cg + c;
                w->code[at] = k < 0 ? 0 : from->code[k];
                if (from->wide)
                    w->wide[at] = k < 0 ? 0 : from->wide[k];
            }
    }
}

static bool read_weights(Site *s, const Deconv *d, const Value *v,
                         Weights *w)
{
    int64_t taps = d->axis[0].kernel * d->axis[1].kernel;
    Weights from;

    if (!weights_read(s, v, true, d->shape.mg * taps,
                      d->shape.group * d->shape.cg, &from))
        return false;
    for (int64_t i = 0; i < from.rows; i++)
        if (from.groups != 1 || from.scale[i] != from.scale[i / taps * taps])
            return site_no(s, "its weights have several scales per channel");
    phase_weights(s->g, d, &from, w);
    return true;
}

/* The QConv's geometry */
static void phase_shape(const Deconv *d, ConvShape *c)
{
    *c = d->shape;
    c->mg = d->shape.mg * d->axis[0].stride * d->axis[1].stride;
    c->win = (Window){ .rank = 2 };
    for (int i = 0; i < 2; i++) {
        const Axis *a = &d->axis[i];
        c->win.in[i] = a->in;
        c->win.out[i] = a->count;
        c->win.kernel[i] = a->taps;
        c->win.stride[i] = c->win.dilation[i] = 1;
        c->win.pad[i] = -a->first;
        c->win.pad_end[i] = pad_end(a);
    }
}

/* y[N, H, W, group, phases H, phases W, m] to [N, H s, W s, M] */
static Value *interleaved(Site *s, const Deconv *d, Value *y)
{
    const Perm p = { 7, { 0, 1, 4, 2, 5, 3, 6 } };
    const Axis *h = &d->axis[0], *w = &d->axis[1];
    int64_t apart[7] = { y->type.dim[0], h->count, w->count, d->shape.group,
                         h->stride, w->stride, d->shape.mg };
    int64_t dim[4] = { y->type.dim[0], h->count * h->stride,
                       w->count * w->stride, d->shape.group * d->shape.mg };

    y = put_reshape(s->g, s->q, y, 7, apart)->out[0];
    y = put_transpose(s->g, s->q, y, &p)->out[0];
    return put_reshape(s->g, s->q, y, 4, dim)->out[0];
}

/* Rows and columns of the result alone. */
static Value *cut(Site *s, const Deconv *d, Value *y)
{
    const Axis *h = &d->axis[0], *w = &d->axis[1];
    int64_t from[2] = { h->skip, w->skip }, axes[2] = { 1, 2 };
    int64_t to[2] = { h->skip + h->out, w->skip + w->out };
    Value *in[4] = { y };
    Type t = y->type;

    if (h->out == t.dim[1] && w->out == t.dim[2])
        return y;
    in[1] = graph_const_ints(s->g, "starts", 2, from);
    in[2] = graph_const_ints(s->g, "ends", 2, to);
    in[3] = graph_const_ints(s->g, "axes", 2, axes);
    t.dim[1] = h->out;
    t.dim[2] = w->out;
    return insert_op(s->g, s->q, OP_Slice, s->v->name, 4, in, t)->out[0];
}

static double *phase_bias(Site *s, const Deconv *d, const double *bias)
{
    int64_t rows = d->shape.group * d->shape.mg * d->axis[0].stride *
                   d->axis[1].stride;
    double *b = NEW_ARRAY(s->g->scratch, double, rows);

    for (int64_t i = 0; i < rows; i++) {
        Row r = row_of(d, i);
        b[i] = bias[r.group * d->shape.mg + r.m];
    }
    return b;
}

static bool shape_of(Site *s, Node *n, Deconv *d)
{
    Window *w = &d->shape.win;

    if (!convtranspose_shape(n, &d->shape))
        return false;
    if (w->rank > 2)
        return site_no(s, "it has %d spatial axes, integer convolutions have"
                       " at most 2", w->rank);
    d->axis[0] = (Axis){ .kernel = 1, .stride = 1, .in = 1, .out = 1,
                         .taps = 1, .count = 1 };
    for (int i = 0; i < w->rank; i++)
        if (!set_axis(s, w, i, &d->axis[2 - w->rank + i]))
            return false;
    return true;
}

bool convert_deconv(Site *s, Node *deconv, double *bias)
{
    ConvSite c = { .conv = deconv };
    Weights w;
    Deconv d;
    Value *y;
    Node *n;

    c.x = codes_of(deconv->in[0], &c.xg);
    if (!c.x)
        return site_no(s, "its input '%s' is not quantized",
                       deconv->in[0]->name);
    if (!shape_of(s, deconv, &d) ||
        !const_bias(s, node_in(deconv, 2), d.shape.group * d.shape.mg,
                    bias) ||
        !read_weights(s, &d, deconv->in[1], &w))
        return false;
    c.bias = phase_bias(s, &d, bias);
    phase_shape(&d, &c.shape);
    n = conv_of_codes(s, &c, &w);
    if (!n || !site_put(s, n))
        return false;
    y = cut(s, &d, interleaved(s, &d, n->out[0]));
    take_result(s->g, from_channels_last(s->g, s->q, y,
                                         s->q->out[0]->type.rank), s->q);
    return true;
}

/* The same of floats. */

/* w[group * channels][m][kernel] as [rows][channels][taps] */
static Value *phase_floats(Graph *g, const Deconv *d, const Value *v, int rank)
{
    const Axis *a = d->axis;
    int64_t taps = a[0].taps * a[1].taps, at = 0;
    int64_t kernel = a[0].kernel * a[1].kernel;
    int64_t rows = d->shape.group * d->shape.mg * a[0].stride * a[1].stride;
    int64_t dim[4] = { rows, d->shape.cg, a[2 - rank].taps, a[1].taps };
    float *w = NEW_ARRAY(g->arena, float, rows * d->shape.cg * taps);

    for (int64_t i = 0; i < rows; i++) {
        Row r = row_of(d, i);
        for (int64_t c = 0; c < d->shape.cg; c++)
            for (int64_t t = 0; t < taps; t++, at++) {
                int64_t from = (r.group * d->shape.cg + c) * d->shape.mg + r.m;
                int64_t tap = source(d, &r, t);
                if (tap >= 0)
                    w[at] = ((const float *)v->data)[from * kernel + tap];
            }
    }
    return graph_const(g, v->name, type_make(DT_F32, 2 + rank, dim), w);
}

static Value *phase_float_bias(Graph *g, const Deconv *d, const Value *b)
{
    int64_t rows = d->shape.group * d->shape.mg * d->axis[0].stride *
                   d->axis[1].stride;
    float *p = NEW_ARRAY(g->arena, float, rows);

    for (int64_t i = 0; i < rows; i++) {
        Row r = row_of(d, i);
        p[i] = ((const float *)b->data)[r.group * d->shape.mg + r.m];
    }
    return graph_const(g, b->name, type_vector(DT_F32, rows), p);
}

static void conv_attrs(Graph *g, Node *c, const Deconv *d, int rank)
{
    static const int64_t ones[] = { 1, 1 };
    int64_t kernel[2], pads[4];

    for (int i = 0; i < rank; i++) {
        const Axis *a = &d->axis[2 - rank + i];
        kernel[i] = a->taps;
        pads[i] = -a->first;
        pads[rank + i] = pad_end(a);
    }
    set_ints(g, c, "kernel_shape", rank, kernel);
    set_ints(g, c, "strides", rank, ones);
    set_ints(g, c, "dilations", rank, ones);
    set_ints(g, c, "pads", 2 * rank, pads);
    set_int(c, "group", d->shape.group);
}

/* y[N, group, phases H, phases W, m, H, W] to [N, M, H s, W s], cut */
static Value *spread(Graph *g, Node *at, const Deconv *d, Value *y, int rank)
{
    const Perm image = { 7, { 0, 1, 4, 5, 2, 6, 3 } };
    const Perm line = { 5, { 0, 1, 3, 4, 2 } };
    const Axis *h = &d->axis[0], *w = &d->axis[1];
    int64_t n = y->type.dim[0], gr = d->shape.group, mg = d->shape.mg;
    int64_t apart[] = { n, gr, h->stride, w->stride, mg, h->count, w->count };
    int64_t flat[] = { n, gr, w->stride, mg, w->count };
    int64_t dim[4] = { n, gr * mg }, from[2], to[2], axes[2];
    Value *in[4];
    Type t;

    for (int i = 0; i < rank; i++) {
        const Axis *a = &d->axis[2 - rank + i];
        dim[2 + i] = a->count * a->stride;
        from[i] = a->skip;
        to[i] = a->skip + a->out;
        axes[i] = 2 + i;
    }
    y = put_reshape(g, at, y, rank == 2 ? 7 : 5,
                    rank == 2 ? apart : flat)->out[0];
    y = put_transpose(g, at, y, rank == 2 ? &image : &line)->out[0];
    y = put_reshape(g, at, y, 2 + rank, dim)->out[0];
    t = at->out[0]->type;
    if (type_equal(&t, &y->type))
        return y;
    in[0] = y;
    in[1] = graph_const_ints(g, "starts", rank, from);
    in[2] = graph_const_ints(g, "ends", rank, to);
    in[3] = graph_const_ints(g, "axes", rank, axes);
    return insert_op(g, at, OP_Slice, at->name, 4, in, t)->out[0];
}

bool deconv_as_conv(Graph *g, Node *n)
{
    Site s = { .g = g, .q = n, .v = n->out[0] };
    const Value *b = node_in(n, 2);
    int rank = n->in[1]->type.rank - 2;
    Value *in[3] = { n->in[0], NULL, NULL };
    Deconv d;
    Node *c;
    Value *y;

    if (!value_is_const(n->in[1]) || n->in[1]->type.dt != DT_F32 ||
        (b && !value_is_const(b)) || !shape_of(&s, n, &d))
        return false;
    in[1] = phase_floats(g, &d, n->in[1], rank);
    if (b)
        in[2] = phase_float_bias(g, &d, b);
    c = node_new(g, OP_Conv, n->name, b ? 3 : 2, in, 1);
    conv_attrs(g, c, &d, rank);
    graph_insert(g, n, c);
    if (!site_infer(&s, c))
        return false;
    y = spread(g, n, &d, c->out[0], rank);
    take_result(g, y->def, n);
    return true;
}
