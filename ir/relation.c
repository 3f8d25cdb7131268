/* relation.c - the axis relations of every op; see relation.h. What is not
 * listed reads whole operands, which is always right. Families that other
 * ops share are in one function each. */
#include "relation.h"

#include "move.h"
#include "ops/attention.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/window.h"

static const Relation all = { .kind = REL_ALL };
static const Relation none = { .kind = REL_NONE };

static Relation blocks(int axis, int64_t out_unit, int64_t in_unit)
{
    return (Relation){ .kind = REL_POINT, .axis = axis,
                       .out_unit = out_unit, .in_unit = in_unit };
}

static Relation point(int axis)
{
    return blocks(axis, 1, 1);
}

/* One index behind another: i * stride + start. */
static Relation shifted(int axis, int64_t start, int64_t stride)
{
    return (Relation){ .kind = REL_WINDOW, .axis = axis, .stride = stride,
                       .size = 1, .dilation = 1, .pad = -start };
}

/* numpy broadcasting, right-aligned, of x into a result of type y */
static Relation broadcast(const Type *x, const Type *y, int axis)
{
    int a = axis - (y->rank - x->rank);

    if (a < 0 || (x->dim[a] == 1 && y->dim[axis] != 1))
        return none;
    return point(a);
}

static int positive(int64_t axis, int rank)
{
    return (int)(axis < 0 ? axis + rank : axis);
}

/* The axis of x whose index follows from index i of y's axis alone. */
static Relation reshaped(const Type *x, const Type *y, int axis)
{
    int64_t before = type_span(y, 0, axis), n = y->dim[axis], seen = 1;

    if (n <= 1 || before == 0 || type_elems(y) == 0)
        return all;
    for (int b = 0; b < x->rank && seen <= before; b++) {
        int64_t d = x->dim[b];
        if (seen == before && d > 1) {
            if (d % n == 0)
                return blocks(b, 1, d / n);
            return n % d == 0 ? blocks(b, n / d, 1) : all;
        }
        seen *= d;
    }
    return all;
}

static Relation quantized(const Node *n, int in, int axis)
{
    const Attr_quantize *a = ATTRS(quantize, n);
    const Type *x = &n->in[0]->type, *s = &n->in[in]->type;

    if (in == 0)
        return point(axis);
    if (type_elems(s) == 1)
        return none;
    if (s->rank == x->rank) {
        bool is_axis = axis == positive(a->axis, x->rank);
        return is_axis && a->block_size > 1 ? blocks(axis, a->block_size, 1)
                                            : point(axis);
    }
    return axis == positive(a->axis, x->rank) ? point(0) : none;
}

/* ops that work along one axis, row by row */
static Relation along(const Node *n, int in, int axis, int64_t which)
{
    if (in != 0)
        return all;
    return axis == positive(which, n->in[0]->type.rank) ? all : point(axis);
}

static Relation layer_norm(const Node *n, int in, int axis)
{
    const Type *x = &n->in[0]->type;
    int from = positive(n->op == OP_QLayerNorm ? ATTRS(qlayernorm, n)->axis
                                               : ATTRS(layernorm, n)->axis,
                        x->rank);

    if (in == 0)
        return axis < from ? point(axis) : all;
    if (axis < from)
        return broadcast(&n->in[in]->type, x, axis);
    return all;
}

static Relation channel_norm(const Node *n, int in, int axis)
{
    const Type *x = &n->in[0]->type;
    int64_t unit = 1;

    if (n->op == OP_BatchNormalization && n->nout > 1)
        return all;
    if (x->rank < 2)
        return all;
    if (n->op == OP_BatchNormalization)
        return in == 0 ? point(axis) : axis == 1 ? point(0) : none;
    if (n->op == OP_GroupNormalization)
        unit = x->dim[1] / ATTRS(groupnorm, n)->num_groups;
    if (axis == 0)
        return in == 0 ? point(0) : none;
    if (axis == 1)
        return in == 0 ? blocks(1, unit, unit) : point(0);
    return in == 0 ? all : none;
}

static Relation lrn(const Node *n, int axis)
{
    int64_t size = ATTRS(lrn, n)->size;

    if (axis != 1)
        return point(axis);
    return (Relation){ .kind = REL_WINDOW, .axis = 1, .stride = 1,
                       .size = size, .dilation = 1, .pad = (size - 1) / 2 };
}

/* products */

/* operand a [.., M, K] or b [.., K, N] of a product with result y; trans:
 * the last two axes change places */
static Relation factor(const Type *x, const Type *y, int axis, bool right,
                       bool trans)
{
    int mine = x->rank - (trans != right ? 1 : 2);  /* M of a, N of b */
    int end = y->rank - axis;                       /* 1: columns, 2: rows */

    if (x->rank < 2)
        return end <= 2 ? all : none;
    if (end <= 2)
        return (end == 1) == right ? point(mine) : none;
    return broadcast(x, y, axis);
}

static Relation product(const Node *n, int in, int axis)
{
    bool ta = false, tb = false;
    const Type *y = &n->out[0]->type;
    int right = 1, left = 0;

    if (n->op == OP_FusedMatMul) {
        ta = ATTRS(fusedmatmul, n)->transA;
        tb = ATTRS(fusedmatmul, n)->transB;
    } else if (n->op == OP_Gemm) {
        ta = ATTRS(gemm, n)->transA;
        tb = ATTRS(gemm, n)->transB;
    } else if (n->op == OP_QLinearMatMul) {
        right = 3;
    }
    if (n->in[left]->type.rank < 2 || n->in[right]->type.rank < 2)
        return all;
    if (in == left)
        return factor(&n->in[left]->type, y, axis, false, ta);
    if (in == right)
        return factor(&n->in[right]->type, y, axis, true, tb);
    if (n->op == OP_FusedMatMul || n->op == OP_Gemm)
        return broadcast(&n->in[in]->type, y, axis);
    return type_elems(&n->in[in]->type) == 1 ? none : all;
}

/* windows */

static Relation window(const Window *w, int spatial)
{
    return (Relation){ .kind = REL_WINDOW, .axis = 2 + spatial,
                       .stride = w->stride[spatial],
                       .size = w->kernel[spatial],
                       .dilation = w->dilation[spatial],
                       .pad = w->pad[spatial] };
}

static Relation convolution(const Node *n, int in, int axis)
{
    int w = n->op == OP_QLinearConv ? 3 : 1;
    int bias = n->op == OP_Conv ? 2 : n->op == OP_QLinearConv ? 8 : -1;
    ConvShape s;

    if (!conv_shape(n, &n->in[0]->type, &n->in[w]->type, &s))
        return all;
    if (in == 0)
        return axis == 0 ? point(0)
             : axis > 1 ? window(&s.win, axis - 2)
             : s.group > 1 ? blocks(1, s.mg, s.cg) : all;
    if (in == w || in == bias)
        return axis == 1 ? point(0) : none;
    if (type_elems(&n->in[in]->type) == 1)
        return none;
    return all;
}

static Relation pool(const Node *n, int axis)
{
    ConvShape s;

    if (axis < 2)
        return point(axis);
    return pool_shape(n, &s) ? window(&s.win, axis - 2) : all;
}

/* reductions */

static Relation reduction(const Node *n, int in, int axis)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    bool mask[MAX_RANK], keep = x->rank == y->rank;
    int at = 0;

    if (in != 0 || !reduce_mask(n, mask))
        return all;
    for (int i = 0; i < x->rank; i++) {
        if (mask[i] && !keep)
            continue;
        if (at++ == axis)
            return mask[i] ? all : point(i);
    }
    return all;
}

static Relation arg_reduction(const Node *n, int axis)
{
    const Attr_argmax *a = ATTRS(argmax, n);
    int which = positive(a->axis, n->in[0]->type.rank);

    if (axis == which && a->keepdims)
        return all;
    return point(axis >= which && !a->keepdims ? axis + 1 : axis);
}

/* movement */

static Relation sliced(const Node *n, int in, int axis)
{
    const Tensor *operand[5];
    SliceAxis cut[MAX_RANK];
    const Value *which;
    Tensor store[5];

    if (in != 0)
        return none;
    if (!const_operands(n, 1, store, operand, &which) ||
        !slice_axes(n, &n->in[0]->type, operand, cut))
        return all;
    if (cut[axis].start == 0 && cut[axis].step == 1)
        return point(axis);
    return shifted(axis, cut[axis].start, cut[axis].step);
}

static Relation split_part(const Node *n, int out, int in, int axis)
{
    int64_t from = 0;

    if (in != 0)
        return none;
    if (axis != positive(ATTRS(split, n)->axis, n->in[0]->type.rank))
        return point(axis);
    for (int i = 0; i < out; i++) {
        if (!n->out[i])
            return all;
        from += n->out[i]->type.dim[axis];
    }
    return shifted(axis, from, 1);
}

static Relation joined(const Node *n, int in, int axis)
{
    int64_t from = 0;

    if (axis != positive(ATTRS(concat, n)->axis, n->out[0]->type.rank))
        return point(axis);
    for (int i = 0; i < in; i++)
        from += n->in[i]->type.dim[axis];
    return shifted(axis, -from, 1);
}

static Relation padded(const Node *n, int in, int axis)
{
    const Tensor *operand[4];
    PadAxis pad[MAX_RANK];
    const Value *which;
    Tensor store[4];
    PadMode mode;

    if (in != 0)
        return none;
    if (!pad_mode(n, &mode) ||
        !const_operands(n, 1, store, operand, &which) ||
        !pad_axes(n, &n->in[0]->type, operand[1],
                  n->nin > 3 ? operand[3] : NULL, pad))
        return all;
    if (pad[axis].begin == 0 && pad[axis].end == 0)
        return point(axis);
    return mode == PAD_CONSTANT ? shifted(axis, -pad[axis].begin, 1) : all;
}

static Relation gathered(const Node *n, int in, int axis)
{
    int rank = n->in[0]->type.rank, k = n->in[1]->type.rank;
    int which = positive(ATTRS(axis0, n)->axis, rank);

    if (in == 0)
        return axis < which ? point(axis)
             : axis < which + k ? all : point(axis - k + 1);
    return axis >= which && axis < which + k ? point(axis - which) : none;
}

static Relation tiled(const Node *n, int in, int axis)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;

    return in == 0 && x->dim[axis] == y->dim[axis] ? point(axis) : all;
}

/* attention */

static Relation attention_3d(const Node *n, const Attn *a, int in, int axis)
{
    const Type *x = &n->in[in]->type;

    if (axis == 0)
        return in <= ATTN_V ? point(0)
             : in == ATTN_MASK && x->rank < 4 ? none
             : x->dim[0] == 1 ? none : point(0);
    if (axis == 1)
        return in == ATTN_Q ? point(1) : in == ATTN_MASK && x->rank > 1 &&
               x->dim[x->rank - 2] > 1 ? point(x->rank - 2) : none;
    switch (in) {
    case ATTN_Q: return blocks(2, a->dv, a->dk);
    case ATTN_K: return blocks(2, a->dv * a->group, a->dk);
    case ATTN_V: return blocks(2, a->dv * a->group, a->dv);
    case ATTN_PAST_K: case ATTN_PAST_V:
        return blocks(1, a->dv * a->group, 1);
    case ATTN_MASK:
        return x->rank > 2 && x->dim[x->rank - 3] > 1
                   ? blocks(x->rank - 3, a->dv, 1) : none;
    default: return none;
    }
}

static Relation attention_4d(const Node *n, const Attn *a, int in, int axis)
{
    const Type *x = &n->in[in]->type, *y = &n->out[0]->type;

    if (in == ATTN_LENS)
        return axis == 0 ? point(0) : none;
    if (in == ATTN_MASK) {
        if (axis == 3)
            return none;
        return broadcast(x, y, axis);
    }
    if (axis == 0)
        return point(0);
    if (axis == 1)
        return in == ATTN_Q ? point(1) : blocks(1, a->group, 1);
    if (axis == 2)
        return in == ATTN_Q ? point(2) : none;
    return in == ATTN_V || in == ATTN_PAST_V ? point(3) : none;
}

static Relation attention(const Node *n, int out, int in, int axis)
{
    Attn a;

    if (out != ATTN_Y || !attn_read(n, &a))
        return all;
    return n->out[0]->type.rank == 3 ? attention_3d(n, &a, in, axis)
                                     : attention_4d(n, &a, in, axis);
}

static Relation movement(const Node *n, int out, int in, int axis)
{
    int perm[MAX_RANK];

    switch (n->op) {
    case OP_Transpose:
        transpose_perm(n, n->in[0]->type.rank, perm);
        return point(perm[axis]);
    case OP_Slice: return sliced(n, in, axis);
    case OP_Split: return split_part(n, out, in, axis);
    case OP_Concat: return joined(n, in, axis);
    case OP_Pad: return padded(n, in, axis);
    case OP_Gather: return gathered(n, in, axis);
    case OP_Tile: return tiled(n, in, axis);
    case OP_Expand:
        return in == 0 ? broadcast(&n->in[0]->type, &n->out[0]->type, axis)
                       : none;
    default: return all;
    }
}

Relation node_relation(const Node *n, int out, int in, int axis)
{
    const Type *x = &n->in[in]->type, *y = &n->out[out]->type;

    if (op_has(n->op, T_VIEW))
        return in == 0 ? reshaped(x, y, axis) : none;
    switch (n->op) {
    case OP_QuantizeLinear: case OP_DequantizeLinear:
        return quantized(n, in, axis);
    case OP_MatMul: case OP_Gemm: case OP_FusedMatMul:
    case OP_QLinearMatMul: case OP_MatMulInteger:
        return product(n, in, axis);
    case OP_Conv: case OP_QLinearConv: case OP_ConvInteger:
        return convolution(n, in, axis);
    case OP_MaxPool: case OP_AveragePool: case OP_LpPool:
        return pool(n, axis);
    case OP_GlobalMaxPool: case OP_GlobalAveragePool: case OP_GlobalLpPool:
        return axis < 2 ? point(axis) : all;
    case OP_ReduceSum: case OP_ReduceMean: case OP_ReduceMax:
    case OP_ReduceMin: case OP_ReduceProd: case OP_ReduceL1:
    case OP_ReduceL2: case OP_ReduceLogSum: case OP_ReduceLogSumExp:
    case OP_ReduceSumSquare:
        return reduction(n, in, axis);
    case OP_ArgMax: case OP_ArgMin: return arg_reduction(n, axis);
    case OP_Softmax: case OP_LogSoftmax: case OP_Hardmax:
        return along(n, in, axis, ATTRS(axisneg1, n)->axis);
    case OP_LpNormalization:
        return along(n, in, axis, ATTRS(lpnorm, n)->axis);
    case OP_QSoftmax: return along(n, in, axis, ATTRS(qsoftmax, n)->axis);
    case OP_LayerNormalization: case OP_RMSNormalization:
    case OP_QLayerNorm:
        return layer_norm(n, in, axis);
    case OP_BatchNormalization: case OP_InstanceNormalization:
    case OP_GroupNormalization:
        return channel_norm(n, in, axis);
    case OP_LRN: return lrn(n, axis);
    case OP_Attention: case OP_QAttention:
        return attention(n, out, in, axis);
    case OP_QConv: case OP_QMatMul: case OP_QMaxPool:
    case OP_QAveragePool: case OP_QReduceMean: case OP_QReduceSum:
        return code_relation(n, in, axis);
    case OP_QLookup: return in == 0 ? point(axis) : none;
    case OP_Receive: return point(axis);
    default: break;
    }
    if (op_has(n->op, T_MAP))
        return broadcast(x, y, axis);
    return movement(n, out, in, axis);
}

/* using them */

static int64_t clamp(int64_t i, int64_t lo, int64_t hi)
{
    return i < lo ? lo : i > hi ? hi : i;
}

int node_unit_axes(const Node *n)
{
    switch (n->op) {
    case OP_QConv: case OP_QMaxPool: case OP_QAveragePool:
        return 1;
    case OP_QMatMul:            /* run-time operands are read as a whole */
        return value_is_const(n->in[1]) ? 1 : -1;
    case OP_QAdd: case OP_QMul: case OP_QRequantize: case OP_QLookup:
        return 0;
    default:
        return -1;
    }
}

void relation_range(const Relation *r, int64_t dim, int64_t from, int64_t to,
                    int64_t *lo, int64_t *hi)
{
    *lo = 0;
    *hi = dim;
    if (from >= to) {
        *hi = 0;
    } else if (r->kind == REL_POINT) {
        *lo = from / r->out_unit * r->in_unit;
        *hi = ((to - 1) / r->out_unit + 1) * r->in_unit;
    } else if (r->kind == REL_WINDOW) {
        int64_t first = r->stride < 0 ? to - 1 : from;
        int64_t last = r->stride < 0 ? from : to - 1;
        *lo = first * r->stride - r->pad;
        *hi = last * r->stride - r->pad + (r->size - 1) * r->dilation + 1;
    }
    *lo = clamp(*lo, 0, dim);
    *hi = clamp(*hi, *lo, dim);
}

bool relation_reads(const Relation *r, int64_t i, int64_t k)
{
    int64_t j;

    if (r->kind == REL_POINT)
        return i / r->out_unit == k / r->in_unit;
    if (r->kind != REL_WINDOW)
        return true;
    j = k - (i * r->stride - r->pad);
    return j >= 0 && j % r->dilation == 0 && j / r->dilation < r->size;
}

Relation relation_block(Relation r)
{
    if (r.kind == REL_WINDOW && r.pad == 0 && r.stride > 0 &&
        (r.size - 1) * r.dilation < r.stride)
        return blocks(r.axis, 1, r.stride);
    return r;
}
