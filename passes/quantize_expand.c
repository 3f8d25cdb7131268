/* quantize_expand.c - brings what is quantized to one form: DequantizeLinear,
 * float arithmetic, QuantizeLinear.
 *
 * QLinearConv and QLinearMatMul with constant parameters are taken apart, so
 * that one matcher knows them all. Constant biases, scales of norms and the
 * like become floats: only weights stay codes.
 */
#include <string.h>

#include "../ir/ops/quant.h"
#include "quantize.h"

static bool all_const(Node *n, const int *operand, int count)
{
    for (int i = 0; i < count; i++)
        if (node_in(n, operand[i]) && !value_is_const(n->in[operand[i]]))
            return false;
    return true;
}

static bool one_elem(const Value *v)
{
    return type_elems(&v->type) == 1;
}

/* A constant as Quantize- and DequantizeLinear take it: a vector or scalar,
 * one value as often as `like` has some. */
static Value *parameter(Graph *g, Value *v, const Value *like)
{
    int64_t n = one_elem(v) ? type_elems(&like->type) : type_elems(&v->type);
    int64_t size = dtype_bytes(v->type.dt);
    char *p;

    if (n == type_elems(&v->type) && v->type.rank < 2)
        return v;
    p = arena_alloc(g->arena, (size_t)(n * size));
    for (int64_t i = 0; i < n; i++)
        memcpy(p + i * size, (const char *)v->data +
               (one_elem(v) ? 0 : i * size), (size_t)size);
    return graph_const(g, v->name, type_vector(v->type.dt, n), p);
}

/* DequantizeLinear has as many scales as zero points; here either may be one
 * for all. */
static Value *dequantized(Graph *g, Node *at, Value *x, Value *scale,
                          Value *zp, int64_t axis)
{
    Value *s = parameter(g, scale, zp ? zp : scale);
    Value *z = zp ? parameter(g, zp, scale) : NULL;
    Value *in[3] = { x, s, z };
    Node *n = node_new(g, OP_DequantizeLinear, at->name, zp ? 3 : 2, in, 1);

    ATTRS(quantize, n)->axis = axis;
    graph_insert(g, at, n);
    n->out[0]->type = x->type;
    n->out[0]->type.dt = DT_F32;
    return n->out[0];
}

static void quantize_into(Graph *g, Node *old, Value *y, Value *scale,
                          Value *zp)
{
    Value *s = parameter(g, scale, scale), *z = parameter(g, zp, zp);
    Value *in[3] = { y, s, z };
    Node *n = node_new(g, OP_QuantizeLinear, old->name, 3, in, 1);

    ATTRS(quantize, n)->output_dtype = zp->type.dt;
    graph_insert(g, old, n);
    take_result(g, n, old);
}

/* int32 bias at x_scale * w_scale[c] as floats */
static Value *float_bias(Graph *g, const Value *b, const Value *xs,
                         const Value *ws)
{
    int64_t n = type_elems(&b->type);
    float *p = NEW_ARRAY(g->arena, float, n);
    double x = elem_get(xs->type.dt, xs->data, 0);

    for (int64_t i = 0; i < n; i++)
        p[i] = (float)(elem_get(b->type.dt, b->data, i) * x *
                       elem_get(ws->type.dt, ws->data, one_elem(ws) ? 0 : i));
    return graph_const(g, b->name, type_vector(DT_F32, n), p);
}

/* (x, xs, xz, w, ws, wz, ys, yz, bias) */
static bool expand_conv(Graph *g, Node *n)
{
    static const int params[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    Value *in[3] = { NULL }, *y;
    Node *c;

    if (n->op != OP_QLinearConv || !all_const(n, params, 8) ||
        !one_elem(n->in[1]) || !one_elem(n->in[6]) || !one_elem(n->in[7]))
        return false;
    in[0] = dequantized(g, n, n->in[0], n->in[1], n->in[2], 1);
    in[1] = dequantized(g, n, n->in[3], n->in[4], n->in[5], 0);
    if (node_in(n, 8))
        in[2] = float_bias(g, n->in[8], n->in[1], n->in[4]);
    c = node_new(g, OP_Conv, n->name, in[2] ? 3 : 2, in, 1);
    *ATTRS(conv, c) = *ATTRS(conv, n);
    graph_insert(g, n, c);
    y = c->out[0];
    y->type = n->out[0]->type;
    y->type.dt = DT_F32;
    quantize_into(g, n, y, n->in[6], n->in[7]);
    return true;
}

/* (a, as, az, b, bs, bz, ys, yz) */
static bool expand_matmul(Graph *g, Node *n)
{
    static const int params[] = { 1, 2, 4, 5, 6, 7 };
    int64_t axis;
    Value *in[2], *y;
    Node *m;

    if (n->op != OP_QLinearMatMul || !all_const(n, params, 6) ||
        !one_elem(n->in[1]) || !one_elem(n->in[2]) || !one_elem(n->in[6]) ||
        !one_elem(n->in[7]) || n->in[0]->type.rank < 2 ||
        n->in[3]->type.rank < 2 ||
        (!one_elem(n->in[4]) && n->in[4]->type.rank != 1) ||
        (!one_elem(n->in[5]) && n->in[5]->type.rank != 1))
        return false;
    axis = n->in[3]->type.rank - 1;
    in[0] = dequantized(g, n, n->in[0], n->in[1], n->in[2], 1);
    in[1] = dequantized(g, n, n->in[3], n->in[4], n->in[5], axis);
    m = node_new(g, OP_MatMul, n->name, 2, in, 1);
    graph_insert(g, n, m);
    y = m->out[0];
    y->type = n->out[0]->type;
    y->type.dt = DT_F32;
    quantize_into(g, n, y, n->in[6], n->in[7]);
    return true;
}

/* Is operand i of n a parameter that integer ops take as float? */
static bool is_parameter(const Node *n, int i)
{
    const Value *other;

    switch (n->op) {
    case OP_Conv: case OP_Gemm: case OP_FusedMatMul: case OP_ConvTranspose:
        return i == 2;
    case OP_LayerNormalization: case OP_RMSNormalization:
    case OP_BatchNormalization: case OP_InstanceNormalization:
    case OP_GroupNormalization: case OP_PRelu:
        return i > 0;
    case OP_Attention:
        return i == 3;
    case OP_Add: case OP_Sub:
        other = n->in[1 - i];
        return other->def && (other->def->op == OP_MatMul ||
                              other->def->op == OP_Conv);
    default:
        return false;
    }
}

/* DequantizeLinear of constants: wide codes, and parameters. */
static bool fold_parameters(Graph *g)
{
    for EACH_NODE_SAFE(n, g) {
        Value *v = node_out(n, 0);
        bool fold;
        if (n->op != OP_DequantizeLinear || v->is_output || !v->nuse ||
            !value_is_const(n->in[0]) || !value_is_const(n->in[1]) ||
            (node_in(n, 2) && !value_is_const(n->in[2])))
            continue;
        fold = n->in[0]->type.dt == DT_I32;
        for (int i = 0; i < v->nuse && !fold; i++)
            for (int k = 0; k < v->use[i]->nin && !fold; k++)
                fold = v->use[i]->in[k] == v && is_parameter(v->use[i], k);
        if (!fold || !node_fold_affordable(g, n))
            continue;
        if (!node_fold(g, n))
            return false;
        graph_remove(g, n);
    }
    return true;
}

bool quantize_expand(Graph *g)
{
    for EACH_NODE_SAFE(n, g)
        if (!expand_conv(g, n))
            expand_matmul(g, n);
    return fold_parameters(g);
}
