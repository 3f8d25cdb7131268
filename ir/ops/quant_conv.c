/* quant_conv.c - QLinearConv, ConvInteger (ONNX 10). Zero points are taken
 * off before the sums, so padding is 0; sums are int32, modulo 2^32. */
#include "../hooks.h"
#include "quant.h"
#include "window.h"

/* a scale or zero point of the weight: one, or one per output channel */
static bool check_channels(const Node *n, int index, int64_t channels)
{
    const Value *v = index < 0 ? NULL : node_in(n, index);

    if (!v || type_elems(&v->type) == 1)
        return true;
    if (v->type.rank != 1 || v->type.dim[0] != channels)
        return node_error(n, "operand '%s' has %lld values for %lld output "
                          "channels", v->name,
                          (long long)type_elems(&v->type),
                          (long long)channels);
    return true;
}

static bool check_single(const Node *n, int index)
{
    const Value *v = index < 0 ? NULL : node_in(n, index);

    if (!v || type_elems(&v->type) == 1)
        return true;
    return node_error(n, "operand '%s' has %lld values, must have 1", v->name,
                      (long long)type_elems(&v->type));
}

/* The generated code indexes in int32 over at most three spatial axes. */
static bool check_window(const Node *n, const Window *w)
{
    if (w->rank > 3)
        return node_error(n, "has %d spatial axes, at most 3 are supported",
                          w->rank);
    for (int i = 0; i < w->rank; i++)
        if (w->in[i] + w->pad[i] + w->pad_end[i] > 1 << 30 ||
            w->stride[i] > 1 << 20)
            return node_error(n, "spatial axis %d is too long: %lld and pads",
                              i, (long long)w->in[i]);
    return true;
}

static bool infer_conv8(Node *n, DType dt)
{
    QuantRoles r = quant_roles(n->op);
    const Type *x = &n->in[r.x]->type, *w = &n->in[r.w]->type;
    const Value *bias = r.bias < 0 ? NULL : node_in(n, r.bias);
    Window win;
    Type y;

    if (!quant_check_types(n) || !window_conv(n, x, w, &win, &y) ||
        !check_window(n, &win) ||
        !check_single(n, r.xs) || !check_single(n, r.xz) ||
        !check_single(n, r.ys) || !check_single(n, r.yz) ||
        !check_channels(n, r.ws, w->dim[0]) ||
        !check_channels(n, r.wz, w->dim[0]))
        return false;
    if (bias && (bias->type.dt != DT_I32 || bias->type.rank != 1 ||
                 bias->type.dim[0] != w->dim[0]))
        return node_error(n, "bias '%s' must be int32 with %lld values",
                          bias->name, (long long)w->dim[0]);
    y.dt = dt;
    n->out[0]->type = y;
    return true;
}

bool infer_qlinearconv(Graph *g, Node *n)
{
    (void)g;
    return infer_conv8(n, n->in[7]->type.dt);
}

bool infer_convinteger(Graph *g, Node *n)
{
    (void)g;
    return infer_conv8(n, DT_I32);
}

typedef struct Conv8 {
    Window w;
    int64_t group, cin, cout;   /* channels of one group */
    int64_t in_plane, out_plane, taps;
    int32_t *x, *wt;            /* without zero points */
    int32_t *bias;              /* or NULL */
} Conv8;

static int32_t *centred(const Tensor *t, const Tensor *zp, int64_t per_zp,
                        Arena *a)
{
    int64_t count = type_elems(&t->type);
    int32_t *v = NEW_ARRAY(a, int32_t, count);

    for (int64_t i = 0; i < count; i++) {
        int64_t z = 0;
        if (zp)
            z = elem_get_int(zp->type.dt, zp->data,
                             type_elems(&zp->type) == 1 ? 0 : i / per_zp);
        v[i] = (int32_t)(elem_get_int(t->type.dt, t->data, i) - z);
    }
    return v;
}

/* first and last + 1 output of axis i whose tap k lies inside the input */
static void valid_range(const Window *w, int i, int64_t k, int64_t *from,
                        int64_t *to)
{
    int64_t off = k * w->dilation[i] - w->pad[i], s = w->stride[i];

    *from = off >= 0 ? 0 : (-off + s - 1) / s;
    *to = w->in[i] - off <= 0 ? 0 : (w->in[i] - off - 1) / s + 1;
    *to = *to < w->out[i] ? *to : w->out[i];
}

/* acc += wt * x for one tap, over the axes from i on */
static void add_tap(const Window *w, int i, const int64_t *tap, int32_t wt,
                    const int32_t *x, uint32_t *acc)
{
    int64_t from, to, off = tap[i] * w->dilation[i] - w->pad[i];
    int64_t in = 1, out = 1;

    valid_range(w, i, tap[i], &from, &to);
    if (i == w->rank - 1) {
        for (int64_t o = from; o < to; o++)
            acc[o] += (uint32_t)wt * (uint32_t)x[o * w->stride[i] + off];
        return;
    }
    for (int k = i + 1; k < w->rank; k++) {
        in *= w->in[k];
        out *= w->out[k];
    }
    for (int64_t o = from; o < to; o++)
        add_tap(w, i + 1, tap, wt, x + (o * w->stride[i] + off) * in,
                acc + o * out);
}

static void conv_plane(const Conv8 *c, int64_t image, int64_t m,
                       uint32_t *acc)
{
    int64_t first = image * c->group * c->cin + m / c->cout * c->cin;
    const int32_t *wt = c->wt + m * c->cin * c->taps;

    for (int64_t o = 0; o < c->out_plane; o++)
        acc[o] = c->bias ? (uint32_t)c->bias[m] : 0;
    for (int64_t ch = 0; ch < c->cin; ch++) {
        int64_t tap[MAX_RANK] = { 0 };
        for (int64_t t = 0; t < c->taps; t++, wt++) {
            add_tap(&c->w, 0, tap, *wt, c->x + (first + ch) * c->in_plane,
                    acc);
            for (int i = c->w.rank - 1; i >= 0; i--) {
                if (++tap[i] < c->w.kernel[i])
                    break;
                tap[i] = 0;
            }
        }
    }
}

static void store_plane(const QuantRoles *r, const Tensor *const *in,
                        int64_t m, const uint32_t *acc, int64_t count,
                        Tensor *out, int64_t base)
{
    const Tensor *ws;
    float scale;
    int64_t zp;

    if (r->ys < 0) {
        for (int64_t o = 0; o < count; o++)
            ((uint32_t *)out->data)[base + o] = acc[o];
        return;
    }
    ws = in[r->ws];
    scale = (float)elem_get(in[r->xs]->type.dt, in[r->xs]->data, 0) *
            (float)elem_get(ws->type.dt, ws->data,
                            type_elems(&ws->type) == 1 ? 0 : m);
    scale = scale / (float)elem_get(in[r->ys]->type.dt, in[r->ys]->data, 0);
    zp = elem_get_int(in[r->yz]->type.dt, in[r->yz]->data, 0);
    for (int64_t o = 0; o < count; o++)
        elem_set_int(out->type.dt, out->data, base + o,
                     quant_round((float)(int32_t)acc[o] * scale, zp,
                                 out->type.dt));
}

static const Tensor *operand(const Node *n, const Tensor *const *in, int i)
{
    return i >= 0 && i < n->nin ? in[i] : NULL;
}

static bool eval_conv8(const Node *n, const Tensor *const *in, Tensor *out,
                       Arena *scratch)
{
    QuantRoles r = quant_roles(n->op);
    const Type *x = &in[r.x]->type, *w = &in[r.w]->type;
    const Tensor *bias = operand(n, in, r.bias);
    Conv8 c = { .group = ATTRS(conv, n)->group };
    int64_t plane = 0;
    uint32_t *acc;

    if (!window_conv(n, x, w, &c.w, NULL))
        return false;
    c.cin = w->dim[1];
    c.cout = w->dim[0] / c.group;
    c.in_plane = type_span(x, 2, x->rank);
    c.out_plane = type_span(&out->type, 2, out->type.rank);
    c.taps = type_span(w, 2, w->rank);
    c.x = centred(in[r.x], operand(n, in, r.xz), 1, scratch);
    c.wt = centred(in[r.w], operand(n, in, r.wz), c.cin * c.taps, scratch);
    c.bias = bias ? bias->data : NULL;
    acc = NEW_ARRAY(scratch, uint32_t, c.out_plane);
    for (int64_t i = 0; i < x->dim[0]; i++)
        for (int64_t m = 0; m < w->dim[0]; m++, plane++) {
            conv_plane(&c, i, m, acc);
            store_plane(&r, in, m, acc, c.out_plane, out,
                        plane * c.out_plane);
        }
    return true;
}

bool eval_qlinearconv(const Node *n, const Tensor *const *in,
                      Tensor *const *out, Arena *scratch, Diag *diag)
{
    (void)diag;
    return eval_conv8(n, in, out[0], scratch);
}

bool eval_convinteger(const Node *n, const Tensor *const *in,
                      Tensor *const *out, Arena *scratch, Diag *diag)
{
    (void)diag;
    return eval_conv8(n, in, out[0], scratch);
}
