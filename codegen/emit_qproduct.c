/* emit_qproduct.c - QLinearMatMul, MatMulInteger, QLinearConv, ConvInteger:
 * loops over rows around the kernels of quant.c, which sum one row of
 * outputs in int32. The factors x_scale * w_scale / y_scale are computed
 * here when they are constant, in the same order of float operations as at
 * run time, so that results agree with the interpreter bit by bit. */
#include <stdio.h>
#include <string.h>

#include "../ir/ops/quant.h"
#include "../ir/ops/window.h"
#include "emit_quant.h"
#include "loops.h"

EmitFn emit_qlinearmatmul, emit_qlinearconv;
ScratchFn scratch_qlinearmatmul, scratch_qlinearconv;

static bool has_scales(const Node *n)
{
    return quant_roles(n->op).ys >= 0;
}

static bool const_scales(const Node *n, const QuantRoles *r)
{
    return value_is_const(n->in[r->xs]) && value_is_const(n->in[r->ws]) &&
           value_is_const(n->in[r->ys]);
}

static float scale_at(const Value *v, int64_t i)
{
    return (float)elem_get(v->type.dt, v->data,
                           type_elems(&v->type) == 1 ? 0 : i);
}

/* The factors of n outputs as a constant array. */
static const char *const_factors(Emit *e, const Node *n, const QuantRoles *r,
                                 int64_t count)
{
    float *f = NEW_ARRAY(e->arena, float, count);

    for (int64_t i = 0; i < count; i++) {
        f[i] = scale_at(n->in[r->xs], 0) * scale_at(n->in[r->ws], i);
        f[i] = f[i] / scale_at(n->in[r->ys], 0);
    }
    return emit_const(e, "factors", DT_F32, count, f);
}

/* per tensor in x and y, and constant: factors are known per column */
static bool fixed_factors(const Node *n, const QuantRoles *r,
                          const QuantMatMul *q)
{
    return const_scales(n, r) && type_elems(&n->in[r->xs]->type) == 1 &&
           type_elems(&n->in[r->ys]->type) == 1 &&
           type_elems(&n->in[r->ws]->type) == (q->ws.step ? q->n : 1);
}

int64_t scratch_qlinearmatmul(const Node *n)
{
    QuantRoles r = quant_roles(n->op);
    QuantMatMul q;

    if (!has_scales(n) || !quant_matmul(n, &q, NULL))
        return 0;
    return q.n * (fixed_factors(n, &r, &q) ? 4 : 8);
}

/* "b0 * 12 + m * 3": element of an operand in batch b and row m */
static const char *walk_index(Emit *e, const QuantMatMul *q,
                              const QuantWalk *w, int64_t row)
{
    Buf b;

    buf_init(&b, e->arena);
    for (int i = 0; i < q->rank; i++)
        if (w->batch[i] && q->dim[i] > 1)
            buf_printf(&b, "%sb%d * %lld", b.n ? " + " : "", i,
                       (long long)w->batch[i]);
    if (row && q->m > 1)
        buf_printf(&b, "%sm * %lld", b.n ? " + " : "", (long long)row);
    if (!b.n)
        buf_puts(&b, "0");
    return b.s;
}

static void open_rows(Emit *e, const QuantMatMul *q, const char *t)
{
    for (int i = 0; i < q->rank; i++)
        if (q->dim[i] > 1)
            e_open(e, "for (%s b%d = 0; b%d < %lld; b%d++)", t, i, i,
                   (long long)q->dim[i], i);
    if (q->m > 1)
        e_open(e, "for (%s m = 0; m < %lld; m++)", t, (long long)q->m);
}

static void close_rows(Emit *e, const QuantMatMul *q)
{
    for (int i = 0; i < q->rank; i++)
        if (q->dim[i] > 1)
            e_close(e);
    if (q->m > 1)
        e_close(e);
}

/* index of the row's first result: dense over batch and m */
static const char *row_index(Emit *e, const QuantMatMul *q)
{
    QuantWalk w = { { 0 }, 0 };
    int64_t size = q->m * q->n;

    for (int i = q->rank - 1; i >= 0; i--) {
        w.batch[i] = size;
        size *= q->dim[i];
    }
    return walk_index(e, q, &w, q->n);
}

static void emit_row_sum(Emit *e, const Node *n, const QuantMatMul *q,
                         const char *acc)
{
    QuantRoles r = quant_roles(n->op);
    DType xt = n->in[r.x]->type.dt, wt = n->in[r.w]->type.dt;
    bool centre = r.wz >= 0 && !quant_is_zero(node_in(n, r.wz));
    const char *call = arena_printf(e->arena, "%s(%s, x%d + %s, x%d + %s, "
        "%lldu, %lldu, %s)", emit_kernel(e, "qrow_T_I", xt, wt), acc, r.x,
        walk_index(e, q, &q->x, q->k), r.w, walk_index(e, q, &q->w, 0),
        (long long)q->k, (long long)q->n,
        quant_zero(e, n, r.xz, walk_index(e, q, &q->xz, q->xz.step)));

    if (!centre) {
        e_line(e, "(void)%s;", call);
        return;
    }
    e_line(e, "const uint32_t sum = %s;", call);
    emit_call(e, "qcentre_T", wt, DT_NONE, "%s, %lldu, sum, x%d + %s, %du",
              acc, (long long)q->n, r.wz, walk_index(e, q, &q->wz, 0),
              q->wz.step ? 1 : 0);
}

static void emit_row_factors(Emit *e, const Node *n, const QuantMatMul *q)
{
    QuantRoles r = quant_roles(n->op);
    const char *step = q->ws.step ? " + j" : "";

    e_open(e, "for (%s j = 0; j < %lld; j++)", index_type(q->n),
           (long long)(q->ws.step ? q->n : 1));
    e_line(e, "f[j] = x%d[%s] * x%d[%s%s] / x%d[%s];", r.xs,
           walk_index(e, q, &q->xs, q->xs.step), r.ws,
           walk_index(e, q, &q->ws, 0), step, r.ys,
           walk_index(e, q, &q->ys, q->ys.step));
    e_close(e);
}

static void emit_scaled_row(Emit *e, const Node *n, const QuantMatMul *q)
{
    QuantRoles r = quant_roles(n->op);
    bool fixed = fixed_factors(n, &r, q);
    const char *factors = "f";

    emit_row_sum(e, n, q, "acc");
    if (fixed)
        factors = const_factors(e, n, &r, q->ws.step ? q->n : 1);
    else
        emit_row_factors(e, n, q);
    emit_call(e, "requant_T", n->out[0]->type.dt, DT_NONE,
              "y0 + %s, acc, %lldu, %s, %du, %s", row_index(e, q),
              (long long)q->n, factors, q->ws.step ? 1 : 0,
              quant_zero(e, n, r.yz, walk_index(e, q, &q->yz, q->yz.step)));
}

void emit_qlinearmatmul(Emit *e, const Node *n)
{
    const char *t = index_type(type_elems(&n->in[0]->type) +
                               type_elems(&n->out[0]->type));
    QuantRoles r = quant_roles(n->op);
    QuantMatMul q;

    if (!quant_matmul(n, &q, NULL) || type_elems(&n->out[0]->type) == 0)
        return;
    if (has_scales(n)) {
        e_line(e, "uint32_t *const acc = (uint32_t *)(void *)s;");
        if (!fixed_factors(n, &r, &q))
            e_line(e, "float *const f = (float *)(void *)(s + %lld);",
                   (long long)(4 * q.n));
    }
    open_rows(e, &q, t);
    if (has_scales(n)) {
        emit_scaled_row(e, n, &q);
    } else {
        e_line(e, "uint32_t *const acc = (uint32_t *)(y0 + %s);",
               row_index(e, &q));
        emit_row_sum(e, n, &q, "acc");
    }
    close_rows(e, &q);
}

/* 15 numbers of three axes; 1x1 convolutions see a plane as one row */
static void geometry(const Node *n, int32_t *g, int64_t *oz, int64_t *oy,
                     int64_t *ox)
{
    QuantRoles r = quant_roles(n->op);
    int64_t out[3] = { 1, 1, 1 };
    bool flat = true;
    Window w;

    for (int i = 0; i < 15; i++)
        g[i] = i < 12 ? 1 : 0;
    if (!window_conv(n, &n->in[r.x]->type, &n->in[r.w]->type, &w, NULL))
        return;
    for (int i = 0; i < w.rank; i++) {
        int k = i + 3 - w.rank;
        g[k] = (int32_t)w.in[i];
        g[3 + k] = (int32_t)w.kernel[i];
        g[6 + k] = (int32_t)w.stride[i];
        g[9 + k] = (int32_t)w.dilation[i];
        g[12 + k] = (int32_t)w.pad[i];
        out[k] = w.out[i];
        flat = flat && w.kernel[i] == 1 && w.stride[i] == 1 &&
               w.in[i] == w.out[i] && !w.pad[i];
    }
    if (flat && out[0] * out[1] * out[2] < 1 << 30) {
        g[2] = (int32_t)(out[0] * out[1] * out[2]);
        out[2] = g[2];
        g[0] = g[1] = 1;
        out[0] = out[1] = 1;
    }
    *oz = out[0];
    *oy = out[1];
    *ox = out[2];
}

int64_t scratch_qlinearconv(const Node *n)
{
    int64_t oz = 1, oy = 1, ox = 0;
    int32_t g[15];

    if (has_scales(n))
        geometry(n, g, &oz, &oy, &ox);
    return 4 * ox;
}

typedef struct QConv {
    int64_t oz, oy, ox, cin, cout, group, taps, plane;
    const char *geometry;
} QConv;

static void read_conv(Emit *e, const Node *n, QConv *c)
{
    QuantRoles r = quant_roles(n->op);
    const Type *x = &n->in[r.x]->type, *w = &n->in[r.w]->type;
    int32_t *g = NEW_ARRAY(e->arena, int32_t, 15);

    c->oz = c->oy = c->ox = 0;
    geometry(n, g, &c->oz, &c->oy, &c->ox);
    c->geometry = emit_const(e, "geometry", DT_I32, 15, g);
    c->group = ATTRS(conv, n)->group;
    c->cin = w->dim[1];
    c->cout = w->dim[0] / c->group;
    c->taps = type_span(w, 2, w->rank);
    c->plane = type_span(x, 2, x->rank);
}

/* acc starts as the channel's bias */
static void emit_conv_start(Emit *e, const Node *n, const QConv *c)
{
    QuantRoles r = quant_roles(n->op);

    e_open(e, "for (int32_t o = 0; o < %lld; o++)", (long long)c->ox);
    e_line(e, r.bias >= 0 && node_in(n, r.bias)
               ? "acc[o] = (uint32_t)x8[m];" : "acc[o] = 0;");
    e_close(e);
}

static void emit_conv_row(Emit *e, const Node *n, const QConv *c)
{
    QuantRoles r = quant_roles(n->op);
    const Value *wz = r.wz >= 0 ? node_in(n, r.wz) : NULL;
    const char *at = wz && type_elems(&wz->type) > 1 ? "m" : "0";

    emit_conv_start(e, n, c);
    emit_call(e, "qconv_T_I", n->in[r.x]->type.dt, n->in[r.w]->type.dt,
              "acc, x%d + (b * %lld + m / %lld) * %lld, x%d + m * %lld, %s, "
              "%lld, z, y, %lld, %s, %s", r.x, (long long)c->group,
              (long long)c->cout, (long long)(c->cin * c->plane), r.w,
              (long long)(c->cin * c->taps), c->geometry, (long long)c->cin,
              (long long)c->ox, quant_zero(e, n, r.xz, "0"),
              quant_zero(e, n, r.wz, at));
}

static const char *conv_factor(Emit *e, const Node *n, const QConv *c)
{
    QuantRoles r = quant_roles(n->op);
    bool many = type_elems(&n->in[r.ws]->type) > 1;

    if (const_scales(n, &r))
        return arena_printf(e->arena, many ? "%s + m" : "%s",
                            const_factors(e, n, &r, many ? c->group * c->cout
                                                         : 1));
    e_line(e, "const float f = x%d[0] * x%d[%s] / x%d[0];", r.xs, r.ws,
           many ? "m" : "0", r.ys);
    return "&f";
}

void emit_qlinearconv(Emit *e, const Node *n)
{
    QuantRoles r = quant_roles(n->op);
    const Type *y = &n->out[0]->type;
    const char *t = index_type(type_elems(&n->in[r.x]->type) +
                               type_elems(&n->in[r.w]->type) + type_elems(y));
    bool scaled = has_scales(n);
    const char *row, *factor;
    QConv c;

    if (type_elems(y) == 0)
        return;
    read_conv(e, n, &c);
    row = arena_printf(e->arena, "y0 + (((b * %lld + m) * %lld + z) * %lld + "
                       "y) * %lld", (long long)y->dim[1], (long long)c.oz,
                       (long long)c.oy, (long long)c.ox);
    if (scaled)
        e_line(e, "uint32_t *const acc = (uint32_t *)(void *)s;");
    e_open(e, "for (%s b = 0; b < %lld; b++)", t, (long long)y->dim[0]);
    e_open(e, "for (%s m = 0; m < %lld; m++)", t, (long long)y->dim[1]);
    e_open(e, "for (int32_t z = 0; z < %lld; z++)", (long long)c.oz);
    e_open(e, "for (int32_t y = 0; y < %lld; y++)", (long long)c.oy);
    if (!scaled)
        e_line(e, "uint32_t *const acc = (uint32_t *)(%s);", row);
    emit_conv_row(e, n, &c);
    if (scaled) {
        factor = conv_factor(e, n, &c);
        emit_call(e, "requant_T", y->dt, DT_NONE, "%s, acc, %lldu, %s, 0u, "
                  "%s", row, (long long)c.ox, factor,
                  quant_zero(e, n, r.yz, "0"));
    }
    for (int i = 0; i < 4; i++)
        e_close(e);
}
