/* emit_conv.c - Conv, ConvTranspose, Col2Im: chooses the kernel.
 *
 *   1x1 without stride and padding     a matrix product over the pixels,
 *                                      of small images over the channels
 *   a window that is the whole image   a matrix product
 *   3x3                                a channel's rows, shifted or sorted
 *   one input channel per group        depthwise, a row at a time
 *   everything else                    columns gathered on the stack
 */
#include "epilogue.h"
#include "geometry.h"

#include <string.h>

EmitFn emit_conv, emit_convtranspose, emit_col2im;

void emit_geometry(Emit *e, const Window *w)
{
    const int64_t *rows[7] = { w->in, w->out, w->kernel, w->stride,
                               w->dilation, w->pad, w->pad_end };
    Buf b;

    buf_init(&b, e->arena);
    for (int r = 0; r < 7; r++)
        for (int i = 0; i < 3; i++) {
            int axis = i - (3 - w->rank);
            buf_printf(&b, "%s%lld", i ? ", " : r ? ",  " : "",
                       axis >= 0 ? (long long)rows[r][axis] : r < 5);
        }
    e_line(e, "const int32_t g[21] = { %s };", b.s);
}

int64_t window_in(const Window *w)
{
    int64_t n = 1;

    for (int i = 0; i < w->rank; i++)
        n *= w->in[i];
    return n;
}

int64_t window_out(const Window *w)
{
    int64_t n = 1;

    for (int i = 0; i < w->rank; i++)
        n *= w->out[i];
    return n;
}

/* every output reads the input pixel of its own place, and no other */
static bool is_pointwise(const Window *w)
{
    for (int i = 0; i < w->rank; i++)
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->pad[i] ||
            w->pad_end[i])
            return false;
    return true;
}

/* opens loops over batch b and group k and gives operand and result of
 * this round; close with close_groups */
typedef struct Round {
    const char *x, *w, *bias, *y;
} Round;

static Round open_groups(Emit *e, const ConvShape *s, const char *w,
                         bool bias, int64_t in, int64_t out)
{
    long long taps = s->cg * window_elems(&s->win);
    Round r = { "x0", w, bias ? "x2" : "NULL", "y0" };

    if (s->batch > 1)
        e_open(e, "for (int b = 0; b < %lld; b++)", (long long)s->batch);
    if (s->group > 1) {
        e_open(e, "for (int k = 0; k < %lld; k++)", (long long)s->group);
        r.w = arena_printf(e->arena, "%s + k * %lld", w, s->mg * taps);
        if (bias)
            r.bias = arena_printf(e->arena, "x2 + k * %lld",
                                  (long long)s->mg);
    }
    if (s->batch > 1 || s->group > 1) {     /* a tile in planes: batch 1 */
        const char *at = s->batch == 1 ? "k" : s->group == 1 ? "b" :
                         arena_printf(e->arena, "(b * %lld + k)",
                                      (long long)s->group);
        r.x = arena_printf(e->arena, "x0 + %s * %lld", at,
                           (long long)(s->cg * in));
        r.y = arena_printf(e->arena, "y0 + %s * %lld", at,
                           (long long)(s->mg * out));
    }
    return r;
}

static void close_groups(Emit *e, const ConvShape *s)
{
    if (s->group > 1)
        e_close(e);
    if (s->batch > 1)
        e_close(e);
}

/* Elements from an image to the next, of operand and result. */
typedef struct Images {
    long long x, y;
} Images;

static Images images_of(const Node *n, const ConvShape *s)
{
    int64_t x = n->in[0]->plane, y = n->out[0]->plane;

    return (Images){ x ? x : window_in(&s->win), y ? y : window_out(&s->win) };
}

/* as many pixels as make vectors of pixels worth while */
enum { MANY_PIXELS = 48, PANEL = 32 };

static void pointwise(Emit *e, const Node *n, const ConvShape *s)
{
    long long pixels = window_out(&s->win), c = s->cg;
    Images i = images_of(n, s);
    Round r = open_groups(e, s, "x1", node_in(n, 2) != NULL, i.x, i.y);

    emit_call(e, "matmul_T", n->out[0]->type.dt, DT_NONE,
              "%lld, %lld, %lld, %s, %lld, 1, %s, %lld, %s, 1, 0, %s, %lld",
              (long long)s->mg, pixels, c, r.w, c, r.x, i.x, r.bias, r.y,
              i.y);
    close_groups(e, s);
}

/* Constant weights [group][m][depth] as panels of 32 output channels,
 * [group][panel][depth][32]; the C name. */
static const char *pack_channels(Emit *e, const Value *v, const ConvShape *s)
{
    int64_t depth = s->cg * window_elems(&s->win), at = 0;
    int64_t count = type_elems(&v->type);
    char *to = arena_array(e->arena, (size_t)count,
                           (size_t)dtype_bytes(v->type.dt));

    for (int64_t g = 0; g < s->group; g++)
        for (int64_t p = 0; p < s->mg; p += PANEL)
            for (int64_t k = 0; k < depth; k++)
                for (int64_t j = p; j < p + PANEL && j < s->mg; j++)
                    elem_set(v->type.dt, to, at++,
                             elem_get(v->type.dt, v->data,
                                      (g * s->mg + j) * depth + k));
    return emit_const(e, v->name, v->type.dt, count, to);
}

static void pointwise_small(Emit *e, const Node *n, const ConvShape *s)
{
    long long pixels = window_out(&s->win);
    const char *w = pack_channels(e, n->in[1], s);
    Images i = images_of(n, s);
    Round r = open_groups(e, s, w, node_in(n, 2) != NULL, i.x, i.y);

    emit_call(e, "conv1_small_T", n->out[0]->type.dt, DT_NONE,
              "%lld, %lld, %lld, %s, %lld, %s, %s, %s, %lld", pixels,
              (long long)s->mg, (long long)s->cg, r.x, i.x, r.w, r.bias, r.y,
              i.y);
    close_groups(e, s);
}

/* the window is the image: one output pixel, all inputs in order */
static bool is_whole(const Window *w)
{
    for (int i = 0; i < w->rank; i++)
        if (w->kernel[i] != w->in[i] || w->out[i] != 1 || w->pad[i] ||
            (w->kernel[i] > 1 && w->dilation[i] != 1))
            return false;
    return true;
}

static void whole_image(Emit *e, const Node *n, const ConvShape *s)
{
    long long depth = s->cg * window_elems(&s->win);
    const char *w = pack_channels(e, n->in[1], s);
    Round r = open_groups(e, s, w, node_in(n, 2) != NULL,
                          window_in(&s->win), 1);

    emit_call(e, "matmul_T", n->out[0]->type.dt, DT_NONE,
              "1, %lld, %lld, %s, %lld, 1, %s, 0, %s, 0, 1, %s, %lld",
              (long long)s->mg, depth, r.x, depth, r.w, r.bias, r.y,
              (long long)s->mg);
    close_groups(e, s);
}

/* 3 x 3 in two dimensions without dilation */
static bool is_3x3(const Window *w)
{
    return w->rank == 2 && w->kernel[0] == 3 && w->kernel[1] == 3 &&
           w->dilation[0] == 1 && w->dilation[1] == 1;
}

/* ... whose result has the size of its image */
static bool is_same_3x3(const Window *w)
{
    return is_3x3(w) && w->stride[0] == 1 && w->stride[1] == 1 &&
           w->pad[0] == 1 && w->pad[1] == 1 && w->in[0] == w->out[0] &&
           w->in[1] == w->out[1];
}

/* Images of at most 16 columns, all of their rows. */
static bool is_flat(const Node *n, const Window *w)
{
    return is_same_3x3(w) && w->in[1] <= 16 && n->out[0]->type.dt == DT_F32;
}

/* Windows of 3 x 3, at least 16 of them in a row. */
static bool is_wide(const Node *n, const Window *w)
{
    return is_3x3(w) && w->stride[1] <= 2 && w->pad[1] <= 1 &&
           w->pad_end[1] <= 1 && w->out[1] >= 16 &&
           n->out[0]->type.dt == DT_F32;
}

static void flat_3x3(Emit *e, const Node *n, const ConvShape *s)
{
    const Window *w = &s->win;
    Round r = open_groups(e, s, "x1", node_in(n, 2) != NULL, window_in(w),
                          window_out(w));

    emit_call(e, "conv9_flat_T", n->out[0]->type.dt, DT_NONE,
              "%lld, %lld, %lld, %lld, %s, %s, %s, %s", (long long)w->in[0],
              (long long)w->in[1], (long long)s->mg, (long long)s->cg, r.x,
              r.w, r.bias, r.y);
    close_groups(e, s);
}

/* an image of at most 16 columns, all of its rows */
static void depthwise_flat(Emit *e, const Node *n, const ConvShape *s)
{
    const Window *w = &s->win;
    Round r = open_groups(e, s, "x1", node_in(n, 2) != NULL, window_in(w),
                          window_out(w));

    emit_call(e, "depthwise9_flat_T", n->out[0]->type.dt, DT_NONE,
              "%lld, %lld, %lld, %lld, %s, %s, %s, %s", (long long)w->in[0],
              (long long)w->in[1], (long long)s->cg,
              (long long)(s->mg / s->cg), r.x, r.w, r.bias, r.y);
    close_groups(e, s);
}

static void depthwise(Emit *e, const Node *n, const ConvShape *s)
{
    Images i = images_of(n, s);
    ConvShape all = *s;         /* the kernel loops over the channels */
    Round r;

    all.group = 1;
    all.cg = s->group;
    all.mg = s->group * s->mg;
    if (is_flat(n, &s->win)) {
        depthwise_flat(e, n, &all);
        return;
    }
    emit_geometry(e, &s->win);
    r = open_groups(e, &all, "x1", node_in(n, 2) != NULL, i.x, i.y);
    emit_call(e, is_3x3(&s->win) ? "depthwise9_T" : "depthwise_T",
              n->out[0]->type.dt, DT_NONE,
              "g, %lld, %lld, %s, %lld, %s, %s, %s, %lld",
              (long long)s->group, (long long)s->mg, r.x, i.x, r.w, r.bias,
              r.y, i.y);
    close_groups(e, &all);
}

/* the kernels that take everything, or all windows of 3 x 3 */
static void general(Emit *e, const Node *n, const ConvShape *s,
                    const char *kernel)
{
    Images i = images_of(n, s);
    Round r;

    emit_geometry(e, &s->win);
    r = open_groups(e, s, "x1", node_in(n, 2) != NULL, i.x, i.y);
    emit_call(e, kernel, n->out[0]->type.dt, DT_NONE,
              "g, %lld, %lld, %s, %lld, %s, %s, %s, %lld",
              (long long)s->mg, (long long)s->cg, r.x, i.x, r.w, r.bias, r.y,
              i.y);
    close_groups(e, s);
}

typedef enum Way {
    WHOLE, POINTWISE_SMALL, POINTWISE, DEPTHWISE, FLAT_3X3, WIDE_3X3,
    GENERAL
} Way;

static Way way_of(const Node *n, const ConvShape *s)
{
    const Window *w = &s->win;
    bool packs = value_is_const(n->in[1]);

    if (packs && is_whole(w) && s->cg && s->mg > 1)
        return WHOLE;
    if (packs && is_pointwise(w) && s->cg && s->mg >= 16 &&
        window_out(w) < MANY_PIXELS)
        return POINTWISE_SMALL;
    if (is_pointwise(w))
        return POINTWISE;
    if (s->cg == 1)
        return DEPTHWISE;
    return is_flat(n, w) ? FLAT_3X3 : is_wide(n, w) ? WIDE_3X3 : GENERAL;
}

void emit_conv(Emit *e, const Node *n)
{
    const Attr_conv *a = ATTRS(conv, n);
    ConvShape s;

    if (!type_elems(&n->out[0]->type) ||
        !conv_shape(n, &n->in[0]->type, &n->in[1]->type, &s))
        return;
    switch (way_of(n, &s)) {
    case WHOLE: whole_image(e, n, &s); break;
    case POINTWISE_SMALL: pointwise_small(e, n, &s); break;
    case POINTWISE: pointwise(e, n, &s); break;
    case DEPTHWISE: depthwise(e, n, &s); break;
    case FLAT_3X3: flat_3x3(e, n, &s); break;
    case WIDE_3X3: general(e, n, &s, "conv9_wide_T"); break;
    case GENERAL: general(e, n, &s, "conv_T"); break;
    }
    emit_act(e, n, a->act, a->act_alpha, a->act_beta);
}

bool emit_takes_planes(const Node *n, int slot)
{
    ConvShape s;

    if (n->op != OP_Conv || (slot != 0 && slot != ~0) ||
        !conv_shape(n, &n->in[0]->type, &n->in[1]->type, &s) || s.batch != 1)
        return false;
    switch (way_of(n, &s)) {
    case POINTWISE_SMALL: case POINTWISE: case WIDE_3X3: case GENERAL:
        return true;
    case DEPTHWISE: return !is_flat(n, &s.win);
    default: return false;
    }
}

static void transposed(Emit *e, const Node *n, const ConvShape *s)
{
    Round r;

    emit_geometry(e, &s->win);
    r = open_groups(e, s, "x1", node_in(n, 2) != NULL, window_out(&s->win),
                    window_in(&s->win));
    emit_call(e, "convtranspose_T", n->out[0]->type.dt, DT_NONE,
              "g, %lld, %lld, %s, %s, %s, %s", (long long)s->mg,
              (long long)s->cg, r.x, r.w, r.bias, r.y);
    close_groups(e, s);
}

void emit_convtranspose(Emit *e, const Node *n)
{
    ConvShape s;

    if (type_elems(&n->out[0]->type) && convtranspose_shape(n, &s))
        transposed(e, n, &s);
}

/* block_shape, when it is known at run time only, sets the kernel and, by
 * pads and strides, the number of blocks; the image is the result's size */
static void run_time_blocks(Emit *e, const Node *n)
{
    const Attr_col2im *a = ATTRS(col2im, n);
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    Window w = { .rank = y->rank - 2 };

    for (int i = 0; i < w.rank; i++) {
        w.in[i] = y->dim[2 + i];
        w.out[i] = w.kernel[i] = 1;
        w.stride[i] = a->strides.n ? a->strides.v[i] : 1;
        w.dilation[i] = a->dilations.n ? a->dilations.v[i] : 1;
        w.pad[i] = a->pads.n ? a->pads.v[i] : 0;
        w.pad_end[i] = a->pads.n ? a->pads.v[w.rank + i] : 0;
    }
    emit_geometry(e, &w);
    e_line(e, "int32_t h[21];");
    e_open(e, "if (%s(%d, %lld, %lld, g, x2, h))",
           emit_kernel(e, "col2im_blocks", DT_NONE, DT_NONE), w.rank,
           (long long)(x->dim[1] / y->dim[1]), (long long)x->dim[2]);
    emit_call(e, "col2im_T", y->dt, DT_NONE, "h, %lld, x0, y0",
              (long long)(y->dim[0] * y->dim[1]));
    e_close(e);
}

void emit_col2im(Emit *e, const Node *n)
{
    ConvShape s;

    if (!type_elems(&n->out[0]->type))
        return;
    if (!value_is_const(n->in[1]) || !value_is_const(n->in[2])) {
        run_time_blocks(e, n);
        return;
    }
    if (!col2im_shape(n, &s))
        return;
    emit_geometry(e, &s.win);
    emit_call(e, "col2im_T", n->out[0]->type.dt, DT_NONE, "g, %lld, x0, y0",
              (long long)(s.batch * s.cg));
}
