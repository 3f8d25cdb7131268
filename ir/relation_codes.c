/* relation_codes.c - axis relations of integer products and pools, whose
 * images are [N, H, W, C]. */
#include "relation.h"

#include "ops/qproduct.h"

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

static Relation window(const Window *w, int spatial, int axis)
{
    return (Relation){ .kind = REL_WINDOW, .axis = axis,
                       .stride = w->stride[spatial],
                       .size = w->kernel[spatial],
                       .dilation = w->dilation[spatial],
                       .pad = w->pad[spatial] };
}

/* weights, scales, biases: one index per output channel, or one for all */
static Relation channel(const Node *n, int in, int axis, int channels)
{
    bool many = in == 1 || type_elems(&n->in[in]->type) > 1;

    return axis == channels && many ? point(0) : none;
}

static Relation convolution(const Node *n, int in, int axis)
{
    QConv c;
    int planar;

    if (in > 0)
        return channel(n, in, axis, 3);
    if (!qconv_shape(n, &c))
        return all;
    planar = c.planar;
    if (axis == 0)
        return point(0);
    if (axis < 3)
        return window(&c.s.win, axis - 1, axis + planar);
    return c.s.group > 1 ? blocks(planar ? 1 : 3, c.s.mg, c.s.cg) : all;
}

static Relation product(const Node *n, int in, int axis)
{
    const Type *y = &n->out[0]->type, *x = &n->in[in]->type;
    int end = y->rank - axis;           /* 1: columns, 2: rows */
    int a;

    if (n->in[0]->type.rank < 2 || n->in[1]->type.rank < 2)
        return all;
    if (in > 1)
        return x->rank > 1 ? all : channel(n, in, axis, y->rank - 1);
    if (end == 1)
        return in == 0 ? all
                       : point(x->rank -
                               (ATTRS(qmatmul, n)->transB ? 2 : 1));
    if (end == 2)
        return in == 0 ? point(x->rank - 2) : none;
    a = axis - (y->rank - x->rank);
    return a < 0 || (x->dim[a] == 1 && y->dim[axis] != 1) ? none : point(a);
}

static Relation pool(const Node *n, int axis, const WindowAttrs *a,
                     const Ints *kernel)
{
    ConvShape s;

    if (axis == 0 || axis == 3)
        return point(axis);
    return qpool_shape(n, a, kernel, &s) ? window(&s.win, axis - 1, axis)
                                         : all;
}

static Relation reduction(const Node *n, const Ints *axes, bool keepdims,
                          int axis)
{
    int rank = n->in[0]->type.rank, at = 0;
    bool taken[MAX_RANK] = { false };

    for (int i = 0; i < axes->n; i++)
        taken[axes->v[i] < 0 ? axes->v[i] + rank : axes->v[i]] = true;
    for (int i = 0; i < rank; i++) {
        if (taken[i] && !keepdims)
            continue;
        if (at++ == axis)
            return taken[i] ? all : point(i);
    }
    return all;
}

Relation code_relation(const Node *n, int in, int axis)
{
    switch (n->op) {
    case OP_QConv: return convolution(n, in, axis);
    case OP_QMatMul: return product(n, in, axis);
    case OP_QReduceMean:
        return reduction(n, &ATTRS(qmean, n)->axes,
                         ATTRS(qmean, n)->keepdims != 0, axis);
    case OP_QReduceSum:
        return reduction(n, &ATTRS(qsum, n)->axes, true, axis);
    case OP_QMaxPool: {
        const Attr_qmaxpool *a = ATTRS(qmaxpool, n);
        WindowAttrs wa = { "NOTSET", &a->dilations, &a->pads, &a->strides,
                           a->ceil_mode != 0 };
        return pool(n, axis, &wa, &a->kernel_shape);
    }
    case OP_QAveragePool: {
        const Attr_qpool *a = ATTRS(qpool, n);
        WindowAttrs wa = { "NOTSET", &a->dilations, &a->pads, &a->strides,
                           a->ceil_mode != 0 };
        return pool(n, axis, &wa, &a->kernel_shape);
    }
    default: return all;
    }
}
