/* stream_reduce.c - global pools and means of tokens as loops can take them:
 * sums and maxima, which are accumulated turn by turn, so that their operand
 * need not exist whole, and what is done with a sum once.
 *
 * Means are split before loops are looked for; where none was laid around the
 * sum, the two are one step again.
 */
#include <string.h>

#include "../ir/ops/qproduct.h"
#include "../ir/ops/reduce.h"
#include "edit.h"
#include "stream.h"

/* The elements that a mean is taken of. */
static int64_t counted(const Node *n, const bool *mask)
{
    int64_t count = 1;

    for (int i = 0; i < n->in[0]->type.rank; i++)
        count *= mask[i] ? n->in[0]->type.dim[i] : 1;
    return count;
}

/* One window that is the whole image: its axes. */
static bool whole_window(const Node *n, bool *mask)
{
    int spatial;
    Window w;

    memset(mask, 0, MAX_RANK * sizeof *mask);
    if (!node_window(n, &w, &spatial))
        return false;
    for (int i = 0; i < w.rank; i++) {
        if (w.out[i] != 1 || w.pad[i] || w.pad_end[i] ||
            w.kernel[i] != w.in[i] || w.dilation[i] != 1)
            return false;
        mask[spatial + i] = true;
    }
    return true;
}

static void set_axes(const Node *n, const Ints *axes, bool *mask)
{
    for (int i = 0; i < axes->n; i++)
        mask[axes->v[i] < 0 ? axes->v[i] + n->in[0]->type.rank
                            : axes->v[i]] = true;
}

/* The axes of a mean; false: n is none that can be split. */
static bool mean_axes(const Node *n, bool *mask)
{
    memset(mask, 0, MAX_RANK * sizeof *mask);
    if (n->region || n->narrow || !node_out(n, 0) ||
        !type_elems(&n->out[0]->type))
        return false;
    switch (n->op) {
    case OP_GlobalAveragePool:
        for (int i = 2; i < n->in[0]->type.rank; i++)
            mask[i] = true;
        break;
    case OP_ReduceMean:
        if ((node_in(n, 1) && !value_is_const(n->in[1])) ||
            !reduce_mask(n, mask))
            return false;
        break;
    case OP_QReduceMean:
        set_axes(n, &ATTRS(qmean, n)->axes, mask);
        return true;
    case OP_AveragePool: case OP_QAveragePool:
        if (!whole_window(n, mask))
            return false;
        break;
    default: return false;
    }
    return n->op == OP_QAveragePool || dtype_is_float(n->in[0]->type.dt);
}

static Type summed_type(const Type *x, const bool *mask, DType dt)
{
    Type t = *x;

    t.dt = dt;
    for (int i = 0; i < t.rank; i++)
        t.dim[i] = mask[i] ? 1 : t.dim[i];
    return t;
}

static int list_axes(const bool *mask, int rank, int64_t *axes)
{
    int count = 0;

    for (int i = 0; i < rank; i++)
        if (mask[i])
            axes[count++] = i;
    return count;
}

static Ints axes_attr(Graph *g, const int64_t *axes, int count)
{
    return (Ints){ count, arena_memdup(g->arena, axes,
                                       (size_t)count * sizeof *axes) };
}

/* A new node behind the maker of x, so that a loop around that can go on with
 * it, whatever was to be done before. */
static Node *accumulator(Graph *g, Node *n, Op op, int nin, Value **in,
                         Type t)
{
    Node *at = in[0]->def ? in[0]->def->next : g->first;

    return insert_op(g, at, op, n->name, nin, in, t);
}

/* The sum, and the quotient before n; returns the latter. */
static Node *split_floats(Graph *g, Node *n, const bool *mask)
{
    const Type *x = &n->in[0]->type;
    Type t = summed_type(x, mask, x->dt);
    int64_t axes[MAX_RANK];
    int count = list_axes(mask, x->rank, axes);
    Value *in[2] = { n->in[0], graph_const_ints(g, NULL, count, axes) };
    Node *sum = accumulator(g, n, OP_ReduceSum, 2, in, t);

    in[0] = sum->out[0];
    in[1] = graph_const_scalar(g, NULL, x->dt, (double)counted(n, mask));
    return insert_op(g, n, OP_Div, n->name, 2, in, t);
}

/* The average over one window as a mean. */
static Node *pool_to_mean(Graph *g, Node *n, const bool *mask)
{
    const Attr_qpool *from = ATTRS(qpool, n);
    Node *m = insert_op(g, n, OP_QReduceMean, n->name, 1, n->in,
                        n->out[0]->type);
    Attr_qmean *a = ATTRS(qmean, m);
    int64_t axes[MAX_RANK];

    a->axes = axes_attr(g, axes, list_axes(mask, n->in[0]->type.rank, axes));
    a->x_scale = from->x_scale;
    a->x_zp = from->x_zp;
    a->y_scale = from->y_scale;
    a->y_zp = from->y_zp;
    a->lo = from->lo;
    a->hi = from->hi;
    a->output_dtype = from->output_dtype;
    take_result(g, m, n);
    return m;
}

/* The sum, and its requantization before n; returns the latter. */
static Node *split_codes(Graph *g, Node *n, const bool *mask)
{
    const Attr_qmean *from = ATTRS(qmean, n);
    const Type *x = &n->in[0]->type;
    int64_t axes[MAX_RANK];
    Attr_qrequantize *a;
    Node *sum, *y;
    QTotal total;

    sum = accumulator(g, n, OP_QReduceSum, 1, n->in,
                      summed_type(x, mask, DT_I32));
    ATTRS(qsum, sum)->axes = axes_attr(g, axes,
                                       list_axes(mask, x->rank, axes));
    ATTRS(qsum, sum)->x_zp = from->x_zp;
    qsum_get(sum, &total);
    y = insert_op(g, n, OP_QRequantize, n->name, 1, sum->out,
                  summed_type(x, mask, n->out[0]->type.dt));
    a = ATTRS(qrequantize, y);
    a->count = total.n;
    a->most = total.n * q_reach(&total.x);
    a->x_scale = from->x_scale;
    a->y_scale = from->y_scale;
    a->y_zp = from->y_zp;
    a->lo = from->lo;
    a->hi = from->hi;
    a->output_dtype = n->out[0]->type.dt;
    return y;
}

static void split(Graph *g, Node *n, const bool *mask)
{
    Value *in[2];
    Node *last;

    if (n->op == OP_QAveragePool)
        n = pool_to_mean(g, n, mask);
    last = n->op == OP_QReduceMean ? split_codes(g, n, mask)
                                   : split_floats(g, n, mask);
    if (!type_equal(&last->out[0]->type, &n->out[0]->type)) {
        in[0] = last->out[0];
        in[1] = graph_const_ints(g, NULL, n->out[0]->type.rank,
                                 n->out[0]->type.dim);
        last = insert_op(g, n, OP_Reshape, n->name, 2, in,
                         n->out[0]->type);
    }
    take_result(g, last, n);
}

/* Axes of a pool that is the maximum of the image. */
static bool maximum_axes(const Node *n, bool *mask)
{
    memset(mask, 0, MAX_RANK * sizeof *mask);
    if (n->region || n->narrow || !node_out(n, 0) || node_out(n, 1))
        return false;
    if (n->op == OP_GlobalMaxPool)
        for (int i = 2; i < n->in[0]->type.rank; i++)
            mask[i] = true;
    return n->op == OP_GlobalMaxPool ||
           ((n->op == OP_MaxPool || n->op == OP_QMaxPool) &&
            whole_window(n, mask));
}

static void pool_to_maximum(Graph *g, Node *n, const bool *mask)
{
    int64_t axes[MAX_RANK];
    int count = list_axes(mask, n->in[0]->type.rank, axes);
    Value *in[2] = { n->in[0], graph_const_ints(g, NULL, count, axes) };

    take_result(g, accumulator(g, n, OP_ReduceMax, 2, in,
                               n->out[0]->type), n);
}

void reductions_split(Graph *g)
{
    bool mask[MAX_RANK];
    Node *next;

    for (Node *n = g->first; n; n = next) {
        next = n->next;
        if (mean_axes(n, mask) && counted(n, mask) > 1)
            split(g, n, mask);
        else if (maximum_axes(n, mask) && counted(n, mask) > 1)
            pool_to_maximum(g, n, mask);
    }
}

static bool same_loops(const Node *a, const Node *b)
{
    return a->region == b->region &&
           !memcmp(a->walk, b->walk, (size_t)region_depth(a->region) *
                                         sizeof *a->walk);
}

/* The mean that `last` ends, whose sum no loop accumulates; NULL: there is
 * none. */
static Node *sum_of(const Node *last)
{
    Op op = last->op == OP_Div ? OP_ReduceSum
            : last->op == OP_QRequantize ? OP_QReduceSum : OP_NONE;
    Node *sum = op ? maker(last->in[0], op) : NULL;

    return sum && only_use(last->in[0]) && same_loops(sum, last) &&
           !node_accumulates(sum) ? sum : NULL;
}

static bool divides_by_count(const Node *last, const Node *sum)
{
    const Type *x = &sum->in[0]->type, *y = &sum->out[0]->type;
    int64_t results = type_elems(y);
    double count = results ? (double)(type_elems(x) / results) : 0, by;

    return results && type_equal(y, &last->out[0]->type) &&
           const_splat(last->in[1], &by) && by == count &&
           dtype_is_float(x->dt);
}

/* `mean` is what `last` makes of `sum`. */
static void join(Graph *g, Node *sum, Node *last, Node *mean)
{
    mean->region = last->region;
    memcpy(mean->walk, last->walk, sizeof mean->walk);
    take_result(g, mean, last);
    graph_remove(g, sum);
}

static void join_floats(Graph *g, Node *sum, Node *last)
{
    Node *mean = insert_op(g, last, OP_ReduceMean, last->name, sum->nin,
                           sum->in, last->out[0]->type);

    ATTRS(reduce, mean)[0] = ATTRS(reduce, sum)[0];
    join(g, sum, last, mean);
}

static void join_codes(Graph *g, Node *sum, Node *last)
{
    const Attr_qrequantize *from = ATTRS(qrequantize, last);
    Node *mean = insert_op(g, last, OP_QReduceMean, last->name, 1, sum->in,
                           last->out[0]->type);
    Attr_qmean *a = ATTRS(qmean, mean);

    a->axes = ATTRS(qsum, sum)->axes;
    a->x_zp = ATTRS(qsum, sum)->x_zp;
    a->x_scale = from->x_scale;
    a->y_scale = from->y_scale;
    a->y_zp = from->y_zp;
    a->lo = from->lo;
    a->hi = from->hi;
    a->output_dtype = from->output_dtype;
    join(g, sum, last, mean);
}

void reductions_join(Graph *g)
{
    Node *next;

    for (Node *n = g->first; n; n = next) {
        Node *sum = sum_of(n);
        next = n->next;
        if (!sum)
            continue;
        if (n->op == OP_QRequantize)
            join_codes(g, sum, n);
        else if (divides_by_count(n, sum))
            join_floats(g, sum, n);
    }
    graph_number(g);
}
