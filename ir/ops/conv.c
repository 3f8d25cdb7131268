/* conv.c - Conv (22), ConvTranspose (22), Col2Im (18): infer and evaluate.
 * The interpreter gathers columns (im2col) for some output rows at a time
 * and multiplies; transposed convolution multiplies first, then scatters. */
#include <stdlib.h>
#include <string.h>

#include "../hooks.h"
#include "act.h"
#include "window.h"

static bool check_types(const Node *n)
{
    DType dt = n->in[0]->type.dt;

    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && n->in[i]->type.dt != dt)
            return node_error(n, "input %d is %s, the image is %s", i,
                              dtype_name(n->in[i]->type.dt), dtype_name(dt));
    if (!dtype_is_float(dt))
        return node_error(n, "does not take %s", dtype_name(dt));
    return true;
}

static bool check_bias(const Node *n, const ConvShape *s)
{
    const Value *b = node_in(n, 2);

    if (b && (b->type.rank != 1 || b->type.dim[0] != s->group * s->mg))
        return node_error(n, "the bias is not a vector of %lld elements",
                          (long long)(s->group * s->mg));
    return true;
}

bool infer_conv(Graph *g, Node *n)
{
    const Attr_conv *a = ATTRS(conv, n);
    ConvShape s;
    Act act;

    (void)g;
    if (!check_types(n) ||
        !conv_shape(n, &n->in[0]->type, &n->in[1]->type, &s) ||
        !check_bias(n, &s) ||
        !act_get(n, a->act, a->act_alpha, a->act_beta, &act))
        return false;
    n->out[0]->type = conv_type(&s, n->in[0]->type.dt);
    return true;
}

bool infer_convtranspose(Graph *g, Node *n)
{
    Type *t = &n->out[0]->type;
    ConvShape s;

    (void)g;
    if (!check_types(n) || !convtranspose_shape(n, &s) || !check_bias(n, &s))
        return false;
    *t = conv_type(&s, n->in[0]->type.dt);
    for (int i = 0; i < s.win.rank; i++)
        t->dim[2 + i] = s.win.in[i];
    return true;
}

bool infer_col2im(Graph *g, Node *n)
{
    Type *t = &n->out[0]->type;
    ConvShape s;

    (void)g;
    if (!dtype_is_float(n->in[0]->type.dt))
        return node_error(n, "does not take %s",
                          dtype_name(n->in[0]->type.dt));
    if (!value_is_const(n->in[1]))
        return infer_declared(n, n->in[1]);
    if (!value_is_const(n->in[2]))
        return infer_declared(n, n->in[2]);
    if (!col2im_shape(n, &s))
        return false;
    *t = (Type){ n->in[0]->type.dt, 2 + s.win.rank, { 0 } };
    t->dim[0] = s.batch;
    t->dim[1] = s.cg;
    for (int i = 0; i < s.win.rank; i++)
        t->dim[2 + i] = s.win.in[i];
    return true;
}

/* Walks the rows of an image that tap k of the window touches: for output
 * row r (all output axes but the last, flattened) finds where the tap's
 * image row starts; -1 when it lies in the padding. */
static int64_t image_row(const Window *w, int64_t r, const int64_t *tap)
{
    int64_t at = 0, step = 1, index[MAX_RANK];

    for (int i = w->rank - 2; i >= 0; i--) {
        index[i] = r % w->out[i] * w->stride[i] - w->pad[i] +
                   tap[i] * w->dilation[i];
        r /= w->out[i];
        if (index[i] < 0 || index[i] >= w->in[i])
            return -1;
    }
    for (int i = w->rank - 1; i >= 0; i--) {
        if (i < w->rank - 1)
            at += index[i] * step;
        step *= w->in[i];
    }
    return at;
}

static void tap_of(const Window *w, int64_t k, int64_t *tap)
{
    for (int i = w->rank - 1; i >= 0; i--) {
        tap[i] = k % w->kernel[i];
        k /= w->kernel[i];
    }
}

static int64_t span(const int64_t *dim, int from, int to)
{
    int64_t n = 1;

    for (int i = from; i < to; i++)
        n *= dim[i];
    return n;
}

/* A piece of the output: `rows` whole rows, or part of one. */
typedef struct Piece {
    int64_t row, rows, from, to;        /* columns [from, to) */
} Piece;

/* One row of one tap between image and columns: gathered, or added up. */
#define COPY_ROW(T, S)                                                    \
static void gather_##S(T *c, const T *x, int64_t n, int64_t stride)       \
{                                                                         \
    for (int64_t i = 0; i < n; i++)                                       \
        c[i] = x[i * stride];                                             \
}                                                                         \
static void scatter_##S(const T *c, T *x, int64_t n, int64_t stride)      \
{                                                                         \
    for (int64_t i = 0; i < n; i++)                                       \
        x[i * stride] += c[i];                                            \
}

COPY_ROW(float, f32)
COPY_ROW(double, f64)
COPY_ROW(uint64_t, int)

static void copy_row(Class cls, void *c, void *x, int64_t n, int64_t stride,
                     bool add)
{
    switch (cls) {
    case CLASS_F32:
        if (add)
            scatter_f32(c, x, n, stride);
        else
            gather_f32(c, x, n, stride);
        break;
    case CLASS_F64:
        if (add)
            scatter_f64(c, x, n, stride);
        else
            gather_f64(c, x, n, stride);
        break;
    case CLASS_INT:
        if (add)
            scatter_int(c, x, n, stride);
        else
            gather_int(c, x, n, stride);
        break;
    }
}

/* cols[tap][piece] of one channel image x; add: the other way, added up */
static void columns(const Window *w, Class cls, const Piece *p, void *x,
                    void *cols, bool add)
{
    int64_t width = p->to - p->from, taps = window_elems(w);
    int64_t size = dense_size(cls), s = w->stride[w->rank - 1];
    int64_t tap[MAX_RANK], lo, hi;
    int last = w->rank - 1;
    char *c = cols;

    for (int64_t k = 0; k < taps; k++) {
        tap_of(w, k, tap);
        window_span(w, last, tap[last], &lo, &hi);
        lo = lo < p->from ? p->from : lo;
        hi = hi > p->to ? p->to : hi;
        for (int64_t r = 0; r < p->rows; r++, c += width * size) {
            int64_t at = image_row(w, p->row + r, tap);
            if (!add)
                memset(c, 0, (size_t)(width * size));
            if (at < 0 || lo >= hi)
                continue;
            at += lo * s - w->pad[last] + tap[last] * w->dilation[last];
            copy_row(cls, c + (lo - p->from) * size, (char *)x + at * size,
                     hi - lo, s, add);
        }
    }
}

/* Sizes of the pieces that keep `depth` columns in a few MB. */
static Piece piece_size(const Window *w, int64_t depth)
{
    int64_t rows = span(w->out, 0, w->rank - 1);
    int64_t width = w->out[w->rank - 1];
    int64_t want = ((int64_t)1 << 20) / (depth + 1);
    Piece p = { 0, 1, 0, width };

    want = want < 16 ? 16 : want > 4096 ? 4096 : want;
    if (width > want)
        p.to = want;
    else
        p.rows = width && want / width < rows ? want / width : rows;
    return p;
}

static Piece piece_at(const Window *w, const Piece *size, int64_t row,
                      int64_t from)
{
    int64_t rows = span(w->out, 0, w->rank - 1) - row;
    int64_t end = w->out[w->rank - 1];
    Piece p = { row, rows < size->rows ? rows : size->rows, from,
                end - from < size->to ? end : from + size->to };

    return p;
}

/* One piece of one group: mg output images from cg input images. */
static void conv_piece(const ConvShape *s, Class cls, const Piece *p,
                       char *x, const void *wt, char *y, char *cols)
{
    const Window *w = &s->win;
    int64_t size = dense_size(cls), taps = window_elems(w);
    int64_t in = span(w->in, 0, w->rank), out = span(w->out, 0, w->rank);
    int64_t width = p->to - p->from, n = p->rows * width;
    Product prod = { s->mg, n, s->cg * taps, s->cg * taps, 1, n, out };

    for (int64_t c = 0; c < s->cg; c++)
        columns(w, cls, p, x + c * in * size, cols + c * taps * n * size,
                false);
    dense_product(cls, &prod, wt, cols,
                  y + (p->row * w->out[w->rank - 1] + p->from) * size);
}

void conv_product(const ConvShape *s, Class cls, const void *x,
                  const void *wt, void *y, Arena *scratch)
{
    const Window *w = &s->win;
    int64_t size = dense_size(cls), depth = s->cg * window_elems(w);
    int64_t in = span(w->in, 0, w->rank), out = span(w->out, 0, w->rank);
    int64_t rows = span(w->out, 0, w->rank - 1);
    Piece z = piece_size(w, depth), p;
    char *cols;

    if (!out || !depth || !s->mg)
        return;
    cols = arena_array(scratch, (size_t)(depth * z.rows * z.to),
                       (size_t)size);
    for (int64_t g = 0; g < s->batch * s->group; g++)
        for (int64_t r = 0; r < rows; r += z.rows)
            for (int64_t c = 0; c < w->out[w->rank - 1]; c += z.to) {
                p = piece_at(w, &z, r, c);
                conv_piece(s, cls, &p,
                           (char *)(uintptr_t)x + g * s->cg * in * size,
                           (const char *)wt +
                               g % s->group * s->mg * depth * size,
                           (char *)y + g * s->mg * out * size, cols);
            }
}

/* y = bias of each channel, before the products are added */
static void start_with_bias(Class cls, void *y, const void *bias,
                            int64_t batch, int64_t channels, int64_t pixels)
{
    for (int64_t i = 0; bias && i < batch * channels; i++)
        for (int64_t k = 0; k < pixels; k++) {
            if (cls == CLASS_F32)
                ((float *)y)[i * pixels + k] =
                    ((const float *)bias)[i % channels];
            else
                ((double *)y)[i * pixels + k] =
                    ((const double *)bias)[i % channels];
        }
}

bool eval_conv(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    const Attr_conv *a = ATTRS(conv, n);
    const Tensor *bias = n->nin > 2 ? in[2] : NULL;
    Class cls = dense_class(out[0]->type.dt);
    void *y = dense_room(out[0], scratch);
    ConvShape s;
    Act act;

    (void)diag;
    if (!conv_shape(n, &in[0]->type, &in[1]->type, &s) ||
        !act_get(n, a->act, a->act_alpha, a->act_beta, &act))
        return false;
    if (bias)
        start_with_bias(cls, y, dense_load(bias, scratch), s.batch,
                        s.group * s.mg, span(s.win.out, 0, s.win.rank));
    conv_product(&s, cls, dense_load(in[0], scratch),
                 dense_load(in[1], scratch), y, scratch);
    if (!act_eval(n, &act, cls == CLASS_F64 ? DT_F64 : DT_F32, y,
                  type_elems(&out[0]->type), scratch))
        return false;
    dense_store(out[0], y);
    return true;
}

/* One piece of one group: cols = W^T x, added into mg result images. */
static void transposed_piece(const ConvShape *s, Class cls, const Piece *p,
                             const char *x, const void *wt, char *y,
                             char *cols)
{
    const Window *w = &s->win;
    int64_t size = dense_size(cls), taps = window_elems(w);
    int64_t in = span(w->in, 0, w->rank), out = span(w->out, 0, w->rank);
    int64_t n = p->rows * (p->to - p->from), depth = s->mg * taps;
    Product prod = { depth, n, s->cg, 1, depth, out, n };

    memset(cols, 0, (size_t)(depth * n * size));
    dense_product(cls, &prod, wt,
                  x + (p->row * w->out[w->rank - 1] + p->from) * size, cols);
    for (int64_t m = 0; m < s->mg; m++)
        columns(w, cls, p, y + m * in * size, cols + m * taps * n * size,
                true);
}

static void transposed_product(const ConvShape *s, Class cls, const char *x,
                               const char *wt, char *y, Arena *scratch)
{
    const Window *w = &s->win;
    int64_t size = dense_size(cls), depth = s->mg * window_elems(w);
    int64_t in = span(w->in, 0, w->rank), out = span(w->out, 0, w->rank);
    int64_t rows = span(w->out, 0, w->rank - 1);
    Piece z = piece_size(w, depth), p;
    char *cols;

    if (!out || !depth || !in)
        return;
    cols = arena_array(scratch, (size_t)(depth * z.rows * z.to),
                       (size_t)size);
    for (int64_t g = 0; g < s->batch * s->group; g++)
        for (int64_t r = 0; r < rows; r += z.rows)
            for (int64_t c = 0; c < w->out[w->rank - 1]; c += z.to) {
                p = piece_at(w, &z, r, c);
                transposed_piece(s, cls, &p, x + g * s->cg * out * size,
                                 wt + g % s->group * s->cg * depth * size,
                                 y + g * s->mg * in * size, cols);
            }
}

bool eval_convtranspose(const Node *n, const Tensor *const *in,
                        Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Tensor *bias = n->nin > 2 ? in[2] : NULL;
    Class cls = dense_class(out[0]->type.dt);
    void *y = dense_room(out[0], scratch);
    ConvShape s;

    (void)diag;
    if (!convtranspose_shape(n, &s))
        return false;
    if (bias)
        start_with_bias(cls, y, dense_load(bias, scratch), s.batch,
                        s.group * s.mg, span(s.win.in, 0, s.win.rank));
    transposed_product(&s, cls, dense_load(in[0], scratch),
                       dense_load(in[1], scratch), y, scratch);
    dense_store(out[0], y);
    return true;
}

bool eval_col2im(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    Class cls = dense_class(out[0]->type.dt);
    void *y = dense_room(out[0], scratch);
    char *x = dense_load(in[0], scratch);
    int64_t size = dense_size(cls), image, cols;
    Node fixed = *n;
    Value shape[2];
    ConvShape s;

    (void)diag;
    fixed.in = NEW_ARRAY(scratch, Value *, 3);
    fixed.in[0] = n->in[0];
    for (int i = 0; i < 2; i++) {       /* the shapes as run-time values */
        shape[i] = *n->in[1 + i];
        shape[i].data = in[1 + i]->data;
        fixed.in[1 + i] = &shape[i];
    }
    if (!col2im_shape(&fixed, &s))
        return false;
    image = span(s.win.in, 0, s.win.rank);
    cols = in[0]->type.dim[2];
    if (s.batch * s.cg * image != type_elems(&out[0]->type))
        return node_error(n, "makes %lld elements, the model declares %lld",
                          (long long)(s.batch * s.cg * image),
                          (long long)type_elems(&out[0]->type));
    for (int64_t i = 0; i < s.batch * s.cg && cols; i++) {
        Piece all = { 0, span(s.win.out, 0, s.win.rank - 1), 0,
                      s.win.out[s.win.rank - 1] };
        columns(&s.win, cls, &all, (char *)y + i * image * size,
                x + i * window_elems(&s.win) * cols * size, true);
    }
    dense_store(out[0], y);
    return true;
}
