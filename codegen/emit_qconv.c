/* emit_qconv.c - QConv and the pools of codes: loops over image rows around
 * the kernels of qconv.c and qpool.c, which get one pointer per kernel row.
 *
 *   1x1 without stride and padding     a matrix product over the pixels
 *   a window that is the whole image   a matrix product
 *   one channel per group              depthwise; few channels in one run
 *   everything else                    windows of four pixels, widened
 *   `lean`, where the planner says so  terms where they lie (qlean.c)
 */
#include "qemit.h"

EmitFn emit_qconv, emit_qmaxpool, emit_qaveragepool, emit_qreducemean;
EmitFn emit_qreducesum;
ScratchFn scratch_qconv, scratch_qmaxpool, scratch_qaveragepool,
    scratch_qreducemean;

enum { FEW = 16, NUMBERS = 27, CHANNELS = 32, DEPTH = 320, TAPS = 32 };

/* the table g of qconv.c, without q */
static void numbers(const Node *n, const ConvShape *s, bool planar,
                    int64_t zero, int32_t *g)
{
    const Window *w = &s->win;
    const int64_t v[NUMBERS] = {
        w->in[1], w->out[1], w->kernel[0], w->kernel[1], w->stride[1],
        w->dilation[1], w->pad[1], s->group * s->cg, s->group, s->mg, zero, 1,
        n->backward, planar ? w->in[0] * w->in[1] : 0, 0, 0, 0, 0, 0,
        w->in[0], w->stride[0], w->dilation[0], w->pad[0], w->pad_end[0],
        w->pad_end[1], window_elems(w) * s->cg, s->mg
    };

    for (int i = 0; i < NUMBERS; i++)
        g[i] = (int32_t)v[i];
}

/* Opens the loops over images and output rows; then `row` has this row's
 * image rows, and y its place in the result. Returns the table's name. */
static const char *open_rows(Emit *e, const Node *n, const ConvShape *s,
                             const int32_t *g)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    const char *name = q_table(e, NUMBERS, g);
    const char *xt = dtype_ctype(x->dt);
    long long rows = s->win.out[0], line = type_span(y, 2, 4);
    const char *from = "x0", *to = "oy";

    e_line(e, "const %s *row[%lld];", xt, (long long)s->win.kernel[0]);
    if (s->batch > 1) {
        from = arena_printf(e->arena, "x0 + b * %lld",
                            (long long)type_span(x, 1, 4));
        to = arena_printf(e->arena, "(b * %lld + oy)", rows);
        if (n->backward)
            e_open(e, "for (int32_t b = %lld; b-- > 0;)",
                   (long long)s->batch);
        else
            e_open(e, "for (int32_t b = 0; b < %lld; b++)",
                   (long long)s->batch);
    }
    if (n->backward)
        e_open(e, "for (int32_t oy = %lld; oy-- > 0;)", rows);
    else
        e_open(e, "for (int32_t oy = 0; oy < %lld; oy++)", rows);
    e_line(e, "%s *const y = y0 + %s * %lld;", dtype_ctype(y->dt), to, line);
    emit_call(e, "qrows_T", x->dt, DT_NONE, "%s, %s, oy, row", name, from);
    return name;
}

static void close_rows(Emit *e, const ConvShape *s)
{
    e_close(e);
    if (s->batch > 1)
        e_close(e);
}

/* Room for a pixel of results that are made in blocks of channels. */
static int64_t pixel_room(const Node *n, int64_t channels, int64_t block)
{
    int64_t size = dtype_bytes(n->out[0]->type.dt);

    return channels > block ? channels * size : 0;
}

static const char *pixel(Emit *e, const Node *n, int64_t channels,
                         int64_t block)
{
    return pixel_room(n, channels, block)
               ? arena_printf(e->arena, "(%s *)(void *)s",
                              dtype_ctype(n->out[0]->type.dt))
               : "NULL";
}

/* ways to compute a convolution */
typedef enum Way {
    WAY_PRODUCT, WAY_DEPTHWISE, WAY_NARROW, WAY_WINDOWS
} Way;

static bool is_product(const QConv *c)
{
    const Window *w = &c->s.win;
    bool point = true, whole = true;

    for (int i = 0; i < 2; i++) {
        bool bare = !w->pad[i] && !w->pad_end[i];
        point = point && w->kernel[i] == 1 && w->stride[i] == 1 && bare;
        whole = whole && w->kernel[i] == w->in[i] && w->dilation[i] == 1 &&
                bare;
    }
    return c->s.group == 1 && ((point && !c->planar) ||
                               (whole && (!c->planar || c->s.cg == 1)));
}

/* Depthwise over rows of channels that fill no vector. */
static bool is_narrow(const QConv *c)
{
    const Window *w = &c->s.win;

    return c->s.group < FEW && w->stride[1] == 1 &&
           w->out[1] * c->s.group >= FEW;
}

static Way way(const QConv *c)
{
    bool narrow = is_narrow(c);

    if (is_product(c))
        return WAY_PRODUCT;
    if ((c->s.group > 1 || narrow) && c->s.cg == 1 && c->s.mg == 1 &&
        !c->planar && c->w->type.dt == DT_I8 && dtype_bits(c->x.dt) == 8 &&
        window_elems(&c->s.win) <= TAPS)
        return narrow ? WAY_NARROW : WAY_DEPTHWISE;
    return WAY_WINDOWS;
}

static int64_t window_terms(const QConv *c)
{
    return c->s.group * c->s.cg * window_elems(&c->s.win);
}

/* Narrow ones become depthwise ones like others. */
static bool is_lean(const Node *n, const QConv *c)
{
    return ATTRS(qconv, n)->lean && c->w->type.dt == DT_I8 &&
           dtype_bits(c->x.dt) == 8 && way(c) != WAY_NARROW;
}

/* of one group */
static QLean lean_of(const Node *n, const QConv *c)
{
    const Window *w = &c->s.win;
    bool point = !c->planar;

    for (int i = 0; i < 2; i++)
        point = point && w->kernel[i] == 1 && w->stride[i] == 1 &&
                !w->pad[i] && !w->pad_end[i];
    return q_lean(ATTRS(qconv, n)->lean, w->out[1],
                  point ? c->s.cg : 0, c->x.dt, c->s.mg, c->y.dt);
}

int64_t scratch_qconv(const Node *n)
{
    int64_t pixels, k;
    QConv c;

    if (!qconv_shape(n, &c) || type_elems(&n->out[0]->type) == 0)
        return 0;
    if (is_lean(n, &c))
        return c.s.group == 1 ? lean_of(n, &c).bytes
                              : pixel_room(n, c.s.group * c.s.mg, CHANNELS);
    if (way(&c) == WAY_NARROW)
        return ATTRS(qconv, n)->lean ? 0 : (8 + window_elems(&c.s.win)) *
                                           (c.s.group + FEW - 1);
    if (way(&c) == WAY_DEPTHWISE)
        return pixel_room(n, c.s.group, DEPTH);
    k = window_terms(&c);
    pixels = c.s.win.out[1];
    if (way(&c) == WAY_PRODUCT)
        pixels *= c.s.batch * c.s.win.out[0];
    return 2 * c.s.group * q_wide(k / c.s.group) *
           (pixels < qblock(0) ? 1 : qblock(k));
}

/* depthwise filters [M][taps] as pairs of taps [pair][M][2]; a last tap
 * without a partner is [M] */
static const char *paired_weights(Emit *e, const QConv *c)
{
    int64_t m = c->s.group, taps = window_elems(&c->s.win);
    const int8_t *w = c->w->data;
    int8_t *to = NEW_ARRAY(e->arena, int8_t, m * taps);

    for (int64_t i = 0; i < m; i++)
        for (int64_t t = 0; t < taps; t++)
            to[(t | 1) < taps ? t / 2 * 2 * m + 2 * i + t % 2 : t * m + i] =
                w[i * taps + t];
    return emit_const(e, c->w->name, DT_I8, m * taps, to);
}

/* bias - zero point times weights, modulo 2^32 */
static const int32_t *folded_bias(Emit *e, const QConv *c)
{
    int64_t m = c->s.group, taps = window_elems(&c->s.win);
    const int8_t *w = c->w->data;
    int32_t *to;

    if (!c->x.zero)
        return c->bias;
    to = NEW_ARRAY(e->arena, int32_t, m);
    for (int64_t i = 0; i < m; i++) {
        uint32_t sum = c->bias ? (uint32_t)c->bias[i] : 0;

        for (int64_t t = 0; t < taps; t++)
            sum -= (uint32_t)(c->x.zero * w[i * taps + t]);
        to[i] = (int32_t)sum;
    }
    return to;
}

static void emit_product(Emit *e, const Node *n, const QConv *c)
{
    int64_t pixels = c->s.batch * c->s.win.out[0] * c->s.win.out[1];
    QProduct p = { pixels, window_terms(c), c->s.mg, &c->x, c->y.dt, &c->rq,
                   c->bias, 1, NULL };

    emit_qproduct(e, n, &p);
}

static void emit_depthwise(Emit *e, const Node *n, const QConv *c)
{
    int32_t g[NUMBERS];
    const char *name, *w, *bias, *mult;

    numbers(n, &c->s, false, c->x.zero, g);
    q_numbers(&c->rq, g + 14);
    name = open_rows(e, n, &c->s, g);
    w = paired_weights(e, c);
    bias = q_bias(e, n, folded_bias(e, c), c->s.group);
    mult = q_mult(e, &c->rq);
    emit_call(e, "qdepthwise_T_I", c->x.dt, c->y.dt,
              "%s, row, %s, %s, %s, %s, y", name, w, bias, mult,
              pixel(e, n, c->s.group, DEPTH));
    close_rows(e, &c->s);
}

/* Rows as runs of elements where the target has vectors, else as others. */
static void emit_narrow(Emit *e, const Node *n, const QConv *c)
{
    const char *name, *w, *bias, *mult;
    int32_t g[NUMBERS];

    numbers(n, &c->s, false, c->x.zero, g);
    q_numbers(&c->rq, g + 14);
    name = q_table(e, NUMBERS, g);
    w = paired_weights(e, c);
    bias = q_bias(e, n, folded_bias(e, c), c->s.group);
    mult = q_mult(e, &c->rq);
    e_line(e, "int32_t *const many = (int32_t *)(void *)s;");
    emit_call(e, "qrepeat", DT_NONE, DT_NONE, "%s, %s, %s, %s, many", name, w,
              bias, mult);
    name = open_rows(e, n, &c->s, g);
    e_open(e, "if (!%s(%s, row, many, y))",
           emit_kernel(e, "qnarrow_T_I", c->x.dt, c->y.dt), name);
    emit_call(e, "qdepthwise_T_I", c->x.dt, c->y.dt,
              "%s, row, %s, %s, %s, NULL, y", name, w, bias, mult);
    e_close(e);
    close_rows(e, &c->s);
}

/* Weights in the order of the windows of qwindow.c: those of one planar image
 * are [kH][C][kW], the others [kH][kW][C]. */
static const Value *window_weights(Emit *e, const QConv *c)
{
    const Window *w = &c->s.win;
    int64_t cg = c->s.cg, kw = w->kernel[1], lines = c->s.mg * w->kernel[0];
    DType dt = c->w->type.dt;
    Value *to;
    void *data;

    if (!c->planar || c->s.group > 1 || w->dilation[1] > 1 || cg == 1 ||
        kw == 1)
        return c->w;
    to = NEW(e->arena, Value);
    *to = *c->w;
    to->data = data = arena_alloc(e->arena, (size_t)type_bytes(&to->type));
    for (int64_t l = 0; l < lines; l++)
        for (int64_t x = 0; x < kw; x++)
            for (int64_t i = 0; i < cg; i++)
                elem_set_int(dt, data, (l * cg + i) * kw + x,
                             elem_get_int(dt, c->w->data,
                                          (l * kw + x) * cg + i));
    return to;
}

static void emit_windows(Emit *e, const Node *n, const QConv *c)
{
    bool packed = c->w->type.dt == DT_I4;
    int64_t k = window_terms(c) / c->s.group, m = c->s.group * c->s.mg;
    bool panels = c->s.group == 1 && q_in_panels(e, c->w, c->s.win.out[1],
                                              k);
    int32_t g[NUMBERS];
    const char *name, *w, *bias, *mult;
    const Value *all;

    numbers(n, &c->s, c->planar, c->x.zero, g);
    q_numbers(&c->rq, g + 14);
    g[11] = (int32_t)(c->s.win.out[1] < qblock(0) ? 1
                                                  : qblock(window_terms(c)));
    name = open_rows(e, n, &c->s, g);
    all = window_weights(e, c);
    w = packed   ? q_pack4(e, all, m, 1, k)
        : panels ? q_panels(e, all, m, k)
                 : q_weights(e, n, all, k);
    bias = q_bias(e, n, c->bias, m);
    mult = q_mult(e, &c->rq);
    emit_call(e, packed ? "qconv4_T_I" : panels ? "qconv2_T_I" : "qconv8_T_I",
              c->x.dt, c->y.dt,
              "%s, row, %s, %s, %s, (int16_t *)(void *)s, y", name, w, bias,
              mult);
    close_rows(e, &c->s);
}

static void emit_lean(Emit *e, const Node *n, const QConv *c)
{
    int64_t m = c->s.group * c->s.mg;
    int32_t g[NUMBERS];
    const char *name, *w, *bias, *mult;
    QLean l = lean_of(n, c);

    numbers(n, &c->s, c->planar, c->x.zero, g);
    q_numbers(&c->rq, g + 14);
    g[11] = l.rows;
    name = open_rows(e, n, &c->s, g);
    if (c->s.group == 1) {
        w = q_panels(e, c->w, m, window_terms(c));
        bias = q_bias(e, n, c->bias, m);
        mult = q_mult(e, &c->rq);
        emit_call(e, "qlean2_T_I", c->x.dt, c->y.dt,
                  "%s, row, %s, %s, %s%s, y", name, w, bias, mult,
                  q_lean_room(e, &l, c->x.dt, c->y.dt));
        close_rows(e, &c->s);
        return;
    }
    bias = q_bias(e, n, c->bias, m);
    mult = q_mult(e, &c->rq);
    emit_call(e, "qlean_T_I", c->x.dt, c->y.dt, "%s, row, x1, %s, %s, %s, y",
              name, bias, mult, pixel(e, n, m, CHANNELS));
    close_rows(e, &c->s);
}

void emit_qconv(Emit *e, const Node *n)
{
    QConv c;

    if (!qconv_get(n, &c, n->graph->scratch) ||
        type_elems(&n->out[0]->type) == 0)
        return;
    if (is_lean(n, &c)) {
        emit_lean(e, n, &c);
        return;
    }
    switch (way(&c)) {
    case WAY_PRODUCT: emit_product(e, n, &c); break;
    case WAY_DEPTHWISE: emit_depthwise(e, n, &c); break;
    case WAY_NARROW:
        (ATTRS(qconv, n)->lean ? emit_depthwise : emit_narrow)(e, n, &c);
        break;
    case WAY_WINDOWS: emit_windows(e, n, &c); break;
    }
}

int64_t scratch_qmaxpool(const Node *n)
{
    return pixel_room(n, n->out[0]->type.dim[3], CHANNELS);
}

void emit_qmaxpool(Emit *e, const Node *n)
{
    const Attr_qmaxpool *a = ATTRS(qmaxpool, n);
    WindowAttrs wa = { "NOTSET", &a->dilations, &a->pads, &a->strides,
                       a->ceil_mode != 0 };
    int32_t g[NUMBERS];
    ConvShape s;
    const char *name;

    if (!qpool_shape(n, &wa, &a->kernel_shape, &s) ||
        type_elems(&n->out[0]->type) == 0)
        return;
    numbers(n, &s, false, 0, g);
    name = open_rows(e, n, &s, g);
    emit_call(e, "qmax_T", n->in[0]->type.dt, DT_NONE, "%s, row, %s, y", name,
              pixel(e, n, s.group, CHANNELS));
    close_rows(e, &s);
}

int64_t scratch_qaveragepool(const Node *n)
{
    return pixel_room(n, n->out[0]->type.dim[3], CHANNELS);
}

void emit_qaveragepool(Emit *e, const Node *n)
{
    int32_t g[NUMBERS];
    const char *name;
    QPool p;

    if (!qpool_get(n, &p, n->graph->scratch) ||
        type_elems(&n->out[0]->type) == 0)
        return;
    numbers(n, &p.s, false, p.x.zero, g);
    g[9] = p.include;
    q_numbers(&p.rq, g + 14);
    g[18] = 0;                  /* mult is indexed by count */
    name = open_rows(e, n, &p.s, g);
    emit_call(e, "qaverage_T_I", p.x.dt, p.y.dt, "%s, row, oy, %s, %s, y",
              name, q_mult(e, &p.rq), pixel(e, n, p.s.group, CHANNELS));
    close_rows(e, &p.s);
}

int64_t scratch_qreducemean(const Node *n)
{
    QMean m;

    return qmean_get(n, &m, n->graph->scratch)
               ? pixel_room(n, m.inner, CHANNELS) : 0;
}

void emit_qreducemean(Emit *e, const Node *n)
{
    const char *table, *mult;
    int32_t g[8];
    long long step;
    QMean m;

    if (!qmean_get(n, &m, n->graph->scratch) ||
        type_elems(&n->out[0]->type) == 0)
        return;
    g[0] = (int32_t)m.n;
    g[1] = (int32_t)m.inner;
    g[2] = (int32_t)m.x.zero;
    q_numbers(&m.rq, g + 3);
    step = m.n * m.inner;
    if (n->backward)
        e_open(e, "for (int32_t i = %lld; i-- > 0;)", (long long)m.outer);
    else
        e_open(e, "for (int32_t i = 0; i < %lld; i++)", (long long)m.outer);
    table = q_table(e, 8, g);
    mult = q_mult(e, &m.rq);
    emit_call(e, "qmean_T_I", m.x.dt, m.y.dt,
              "%s, x0 + i * %lld, %s, %s, y0 + i * %lld", table,
              step, mult, pixel(e, n, m.inner, CHANNELS),
              (long long)m.inner);
    e_close(e);
}

void emit_qreducesum(Emit *e, const Node *n)
{
    QTotal s;

    if (!qsum_get(n, &s) || type_elems(&n->out[0]->type) == 0)
        return;
    e_open(e, "for (int32_t i = 0; i < %lld; i++)", (long long)s.outer);
    emit_call(e, "qsum_T", s.x.dt, DT_NONE, "x0 + i * %lld, %lld, %lld, %lld,"
              " y0 + i * %lld", (long long)(s.n * s.inner), (long long)s.n,
              (long long)s.inner, (long long)s.x.zero, (long long)s.inner);
    e_close(e);
}
