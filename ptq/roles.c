/* roles.c - what a node is for quantization: computed on codes, moved as
 * codes, or left in float. The rows follow what the pass `quantize` has an
 * integer form for; a node that is too much for it merely stays float.
 */
#include "ptq_int.h"

#include <math.h>
#include <string.h>

bool is_float_value(const Value *v)
{
    return v && v->type.dt == DT_F32;
}

static bool runtime_float(const Value *v)
{
    return is_float_value(v) && !v->data;
}

static bool single_result(const Node *n)
{
    for (int i = 1; i < n->nout; i++)
        if (n->out[i] && (n->out[i]->nuse || n->out[i]->is_output))
            return false;
    return true;
}

static bool last_axis(int64_t axis, const Value *x)
{
    return axis == -1 || axis == x->type.rank - 1;
}

/* A bias with one element per row of the weights. */
static bool row_bias(const Value *b, int64_t rows)
{
    return !b || (value_is_const(b) && is_float_value(b) &&
                  b->type.rank == 1 && b->type.dim[0] == rows);
}

static bool conv_ok(const Node *n)
{
    const Value *w = n->in[1];

    return runtime_float(n->in[0]) && value_is_const(w) &&
           (w->type.rank == 3 || w->type.rank == 4) &&
           !*ATTRS(conv, n)->act && row_bias(node_in(n, 2), w->type.dim[0]);
}

static bool constant_matmul_ok(const Node *n)
{
    const Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);
    const Value *w = n->in[1];

    return runtime_float(n->in[0]) && value_is_const(w) &&
           w->type.rank == 2 && n->in[0]->type.rank >= 2 && !a->transA &&
           row_bias(node_in(n, 2), w->type.dim[a->transB ? 0 : 1]);
}

bool is_product(const Node *n)
{
    if (!is_float_value(node_out(n, 0)) || type_elems(&n->out[0]->type) < 1)
        return false;
    return (n->op == OP_Conv && conv_ok(n)) ||
           (n->op == OP_FusedMatMul && !*ATTRS(fusedmatmul, n)->act &&
            constant_matmul_ok(n));
}

/* of two matrices, one of which may be constant: not weights, but codes with
 * one scale as the other's */
static bool runtime_matmul_ok(const Node *n)
{
    const Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);

    return is_float_value(n->in[0]) && is_float_value(n->in[1]) &&
           (!n->in[0]->data || !n->in[1]->data) &&
           n->in[0]->type.rank >= 2 && n->in[1]->type.rank >= 2 &&
           !a->transA && !*a->act && !node_in(n, 2);
}

static bool mask_ok(const Node *n)
{
    Value *m = node_in(n, 3);

    return !m || m->data || m->type.dt == DT_BOOL ||
           mask_has_two_values(n->graph, m);
}

static bool attention_ok(const Node *n)
{
    const Attr_attention *a = ATTRS(attention, n);

    for (int i = 0; i < 3; i++)
        if (!runtime_float(n->in[i]))
            return false;
    for (int i = 4; i < n->nin; i++)
        if (n->in[i])
            return false;
    return a->softcap == 0 && mask_ok(n) && single_result(n);
}

/* One run-time operand; the others are single constants. */
static bool unary_ok(const Node *n)
{
    int runtime = 0;

    if (!op_has(n->op, T_MAP) || n->op == OP_Cast)
        return false;
    for (int i = 0; i < n->nin; i++) {
        if (!n->in[i])
            continue;
        if (!n->in[i]->data)
            runtime += runtime_float(n->in[i]) ? 1 : 2;
        else if (type_elems(&n->in[i]->type) != 1 ||
                 !is_float_value(n->in[i]))
            return false;
    }
    return runtime == 1;
}

/* No masks of -infinity or the like. */
static bool moderate(const Value *v)
{
    int64_t n = type_elems(&v->type);

    for (int64_t i = 0; v->data && i < n; i++)
        if (!(fabsf(((const float *)v->data)[i]) < 1e8f))
            return false;
    return true;
}

static bool binary_ok(const Node *n)
{
    return (n->op == OP_Add || n->op == OP_Mul) &&
           is_float_value(n->in[0]) && is_float_value(n->in[1]) &&
           moderate(n->in[0]) && moderate(n->in[1]);
}

static bool norm_ok(const Node *n)
{
    return runtime_float(n->in[0]) && single_result(n) &&
           last_axis(ATTRS(layernorm, n)->axis, n->in[0]) &&
           value_is_const(n->in[1]) &&
           (!node_in(n, 2) || value_is_const(n->in[2]));
}

/* ReduceMean over axes that are constant. */
static bool mean_ok(const Node *n)
{
    return runtime_float(n->in[0]) &&
           (!node_in(n, 1) || value_is_const(n->in[1]));
}

static bool pool_ok(const Node *n)
{
    int rank = n->in[0]->type.rank;

    return runtime_float(n->in[0]) && (rank == 3 || rank == 4);
}

/* Slopes on one side of 1: a maximum or a minimum of two. */
static bool prelu_ok(const Node *n)
{
    const Value *s = n->in[1];
    bool below = true, above = true;

    if (!runtime_float(n->in[0]) || !value_is_const(s) || !is_float_value(s))
        return false;
    for (int64_t i = 0; i < type_elems(&s->type); i++) {
        float x = ((const float *)s->data)[i];
        below = below && x <= 1;
        above = above && x >= 1;
    }
    return below || above;
}

static bool op_ok(const Node *n)
{
    switch (n->op) {
    case OP_Conv: return is_product(n);
    case OP_FusedMatMul: return is_product(n) || runtime_matmul_ok(n);
    case OP_Attention: return attention_ok(n);
    case OP_LayerNormalization: case OP_RMSNormalization: return norm_ok(n);
    case OP_Softmax:
        return runtime_float(n->in[0]) &&
               last_axis(ATTRS(axisneg1, n)->axis, n->in[0]);
    case OP_AveragePool: return pool_ok(n) && !ATTRS(pool, n)->dilations.n;
    case OP_GlobalAveragePool: return pool_ok(n);
    case OP_ReduceMean: return mean_ok(n);
    case OP_PRelu: return prelu_ok(n);
    default: return unary_ok(n) || binary_ok(n);
    }
}

static bool zero_pad(const Node *n)
{
    const Value *v = node_in(n, 2);
    double x;

    return !strcmp(ATTRS(pad, n)->mode, "constant")
               ? !v || (const_splat(v, &x) && x == 0)
               : true;
}

static bool runtime_operands(const Node *n)
{
    for (int i = 1; i < n->nin; i++)
        if (n->in[i] && !n->in[i]->data)
            return true;
    return false;
}

/* Rows put into a cache: all that is put together is computed. */
static bool puts_rows(const Node *n, int a, int b)
{
    return runtime_float(n->in[a]) && runtime_float(n->in[b]);
}

static bool moves(const Node *n)
{
    switch (n->op) {
    case OP_Where: return puts_rows(n, 1, 2);
    case OP_TensorScatter: return puts_rows(n, 0, 1);
    case OP_ScatterElements:
        return puts_rows(n, 0, 2) &&
               !strcmp(ATTRS(scatterelements, n)->reduction, "none");
    case OP_ScatterND:
        return puts_rows(n, 0, 2) &&
               !strcmp(ATTRS(scatternd, n)->reduction, "none");
    case OP_Identity: case OP_Reshape: case OP_Flatten: case OP_Squeeze:
    case OP_Unsqueeze: case OP_Transpose: case OP_Slice: case OP_Split:
    case OP_Concat: case OP_Tile: case OP_Expand: case OP_DepthToSpace:
    case OP_SpaceToDepth: case OP_Gather:
        return true;
    case OP_MaxPool: return single_result(n);
    case OP_ReduceMax: case OP_ReduceMin: return mean_ok(n);
    case OP_Resize:
        return !strcmp(ATTRS(resize, n)->mode, "nearest") &&
               !runtime_operands(n);
    case OP_Pad: return zero_pad(n);
    default: return false;
    }
}

Role node_role(const Node *n)
{
    const Value *y = node_out(n, 0);

    if (!is_float_value(y) || type_elems(&y->type) == 0)
        return ROLE_FLOAT;
    if (moves(n) && is_float_value(n->in[n->op == OP_Where]))
        return ROLE_PASS;
    return op_ok(n) ? ROLE_OP : ROLE_FLOAT;
}

bool slot_is_activation(const Node *n, int slot)
{
    const Value *v = node_in(n, slot);

    if (!is_float_value(v))
        return false;
    switch (n->op) {
    case OP_Conv: case OP_LayerNormalization: case OP_RMSNormalization:
    case OP_Softmax: case OP_AveragePool: case OP_GlobalAveragePool:
    case OP_ReduceMean: case OP_MaxPool: case OP_Reshape: case OP_Transpose:
    case OP_Gather: case OP_Pad:
        return slot == 0;
    case OP_FusedMatMul: return slot < 2 && !v->data;
    case OP_Attention: return slot < 3;
    case OP_Where: return slot > 0 && !v->data;
    case OP_TensorScatter: return slot < 2;
    case OP_ScatterElements: case OP_ScatterND: return slot == 0 || slot == 2;
    case OP_Concat: return true;
    default: return node_role(n) == ROLE_PASS ? slot == 0 : !v->data;
    }
}

static bool clamps(const Node *n)
{
    double x;

    if (n->op == OP_Clip)
        return (!node_in(n, 1) || const_splat(n->in[1], &x)) &&
               (!node_in(n, 2) || const_splat(n->in[2], &x));
    return n->op == OP_Relu;
}

bool is_inner(const Value *y)
{
    const Node *n = y->def;

    if (!n || !only_use(y) || y->use[0]->in[0] != y || !clamps(y->use[0]))
        return false;
    return n->op == OP_Conv || n->op == OP_FusedMatMul || n->op == OP_Add ||
           n->op == OP_Mul;
}
