/* reduce.c - Reduce*: ReduceSum, ReduceMean, ReduceMax, ... (opset 18, 20).
 *
 * The axes are an operand: constant, absent, or known only at run time. In
 * the last case the model declares the result's shape, and with keepdims (or
 * when the dims differ) that shape tells the axes; only where it leaves a
 * choice are the run-time values read, and ones outside the rank passed over.
 * Reducing no elements gives the operation's neutral element. Float sums are
 * taken in double and rounded once; integer sums wrap in their own type.
 */
#include "../hooks.h"
#include "reduce.h"
#include "widen.h"

#include <math.h>
#include <string.h>

static bool keepdims(const Node *n)
{
    return ATTRS(reduce, n)->keepdims != 0;
}

/* Axes from a list of integers; false after a message. */
static bool mask_of_axes(const Node *n, const Type *x, DType dt,
                         const void *axes, int64_t count, bool *mask)
{
    memset(mask, 0, MAX_RANK * sizeof *mask);
    for (int64_t i = 0; i < count; i++) {
        int axis;
        if (!node_axis(n, elem_get_int(dt, axes, i), x->rank, &axis))
            return false;
        if (mask[axis])
            return node_error(n, "axis %d stands twice in axes", axis);
        mask[axis] = true;
    }
    return true;
}

static Type reduced_type(const Node *n, const Type *x, const bool *mask)
{
    Type t = { x->dt, 0, { 0 } };

    for (int i = 0; i < x->rank; i++)
        if (!mask[i])
            t.dim[t.rank++] = x->dim[i];
        else if (keepdims(n))
            t.dim[t.rank++] = 1;
    return t;
}

static void mask_all(const Type *x, bool value, bool *mask)
{
    memset(mask, 0, MAX_RANK * sizeof *mask);
    for (int i = 0; i < x->rank; i++)
        mask[i] = value;
}

/* No axes: all of them, or none. */
static bool axes_absent(const Node *n)
{
    return !node_in(n, 1) || !type_elems(&n->in[1]->type);
}

/* The choices of axes that give the declared type: how many differ in more
 * than dims of size 1, and the first of them. */
static int masks_that_fit(const Node *n, const Type *y, bool *mask)
{
    const Type *x = &n->in[0]->type;
    int64_t count = type_elems(&n->in[1]->type);
    unsigned seen[1 << MAX_RANK], ones = 0;
    int nseen = 0;

    for (int i = 0; i < x->rank; i++)
        ones |= (unsigned)(x->dim[i] == 1) << i;
    for (unsigned bits = 0; bits < 1u << x->rank; bits++) {
        bool m[MAX_RANK] = { false }, old = false;
        int bit = 0;
        Type t;
        for (int i = 0; i < x->rank; i++)
            bit += m[i] = bits >> i & 1;
        t = reduced_type(n, x, m);
        if (bit != count || !type_same_shape(&t, y))
            continue;
        for (int i = 0; i < nseen; i++)
            old |= seen[i] == (bits | ones);
        if (!nseen)
            memcpy(mask, m, sizeof m);
        if (!old)
            seen[nseen++] = bits | ones;
    }
    return nseen;
}

bool reduce_mask(const Node *n, bool *mask)
{
    const Type *x = &n->in[0]->type;
    const Value *axes = node_in(n, 1);

    if (axes_absent(n)) {
        mask_all(x, !ATTRS(reduce, n)->noop_with_empty_axes, mask);
        return true;
    }
    if (value_is_const(axes))
        return mask_of_axes(n, x, axes->type.dt, axes->data,
                            type_elems(&axes->type), mask);
    return masks_that_fit(n, &n->out[0]->type, mask) == 1;
}

void reduce_groups(const Type *x, const bool *mask, Groups *g)
{
    g->n = 0;
    for (int i = 0; i < x->rank; i++) {
        if (x->dim[i] == 1)
            continue;
        if (g->n && g->reduced[g->n - 1] == mask[i]) {
            g->dim[g->n - 1] *= x->dim[i];
            continue;
        }
        g->dim[g->n] = x->dim[i];
        g->reduced[g->n++] = mask[i];
    }
}

static bool check_dtype(const Node *n, DType dt)
{
    bool wide = dt == DT_I32 || dt == DT_I64 || dt == DT_U32 || dt == DT_U64;
    bool order = n->op == OP_ReduceMax || n->op == OP_ReduceMin;
    bool log = n->op == OP_ReduceLogSum || n->op == OP_ReduceLogSumExp;

    if (dtype_is_float(dt) || (order && dtype_bits(dt) >= 8) ||
        (wide && !log))
        return true;
    return node_error(n, "does not take %s", dtype_name(dt));
}

static bool infer_runtime_axes(Node *n)
{
    const Type *x = &n->in[0]->type;
    Type *y = &n->out[0]->type;
    bool mask[MAX_RANK];

    if (!infer_declared(n, n->in[1]))
        return false;
    y->dt = x->dt;
    if (!masks_that_fit(n, y, mask))
        return node_error(n, "no choice of %lld axes gives the declared "
                          "shape of '%s'",
                          (long long)type_elems(&n->in[1]->type),
                          n->out[0]->name);
    return true;
}

bool infer_reduce(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    const Value *axes = node_in(n, 1);
    bool mask[MAX_RANK];

    (void)g;
    if (!check_dtype(n, x->dt))
        return false;
    if (axes && ((axes->type.dt != DT_I64 && axes->type.dt != DT_I32) ||
                 axes->type.rank > 1))
        return node_error(n, "axes must be a list of int64");
    if (!axes_absent(n) && !value_is_const(axes))
        return infer_runtime_axes(n);
    if (!reduce_mask(n, mask))
        return false;
    n->out[0]->type = reduced_type(n, x, mask);
    return true;
}

/* A walk over all elements of x, the reduced dims innermost. */
typedef struct Walk {
    int n;
    int64_t dim[MAX_RANK], stride[MAX_RANK], pos[MAX_RANK];
    int64_t count, at;
} Walk;

static Walk walk_new(const Type *x, const bool *mask)
{
    Walk w = { .count = type_elems(x) };
    int64_t stride[MAX_RANK];

    type_strides(x, stride);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < x->rank; i++)
            if (mask[i] == (pass == 1)) {
                w.dim[w.n] = x->dim[i];
                w.stride[w.n++] = stride[i];
            }
    return w;
}

static void walk_step(Walk *w)
{
    for (int d = w->n - 1; d >= 0; d--) {
        w->at += w->stride[d];
        if (++w->pos[d] < w->dim[d])
            return;
        w->at -= w->pos[d] * w->stride[d];
        w->pos[d] = 0;
    }
}

static double start_float(Op op)
{
    switch (op) {
    case OP_ReduceProd: return 1;
    case OP_ReduceMax: return -INFINITY;
    case OP_ReduceMin: return INFINITY;
    default: return 0;
    }
}

static double step_float(Op op, double acc, double x, double top)
{
    switch (op) {
    case OP_ReduceProd: return acc * x;
    case OP_ReduceMax: return x > acc || x != x ? x : acc;
    case OP_ReduceMin: return x < acc || x != x ? x : acc;
    case OP_ReduceL1: return acc + fabs(x);
    case OP_ReduceL2: case OP_ReduceSumSquare: return acc + x * x;
    case OP_ReduceLogSumExp: return acc + exp(x - top);
    default: return acc + x;
    }
}

/* The next len elements of the walk. */
static double fold_float(Op op, const Tensor *x, Walk *w, int64_t len,
                         double top)
{
    double acc = start_float(op);

    for (int64_t i = 0; i < len; i++, walk_step(w))
        acc = step_float(op, acc, elem_get(x->type.dt, x->data, w->at), top);
    return acc;
}

static double reduce_float(Op op, const Tensor *x, Walk *w, int64_t len)
{
    Walk start = *w;
    double top = 0, acc;

    if (op == OP_ReduceLogSumExp) {     /* relative to the largest */
        top = fold_float(OP_ReduceMax, x, w, len, 0);
        if (isinf(top))
            return top;
        *w = start;
    }
    acc = fold_float(op, x, w, len, top);
    switch (op) {
    case OP_ReduceMean: return acc / (double)len;
    case OP_ReduceL2: return sqrt(acc);
    case OP_ReduceLogSum: return log(acc);
    case OP_ReduceLogSumExp: return log(acc) + top;
    default: return acc;
    }
}

/* The largest or smallest number of an integer type or bool. */
static int64_t int_limit(DType dt, bool largest)
{
    int64_t top = (int64_t)((UINT64_C(1) << (dtype_bits(dt) - 1)) - 1);

    if (dt == DT_BOOL)
        return largest;
    if (dtype_kind(dt) == DK_UINT)
        return !largest ? 0 : (int64_t)((uint64_t)top * 2 + 1);
    return largest ? top : -top - 1;
}

static uint64_t fold_int(Op op, const Tensor *x, Walk *w, int64_t len)
{
    DType dt = x->type.dt;
    bool order = op == OP_ReduceMax || op == OP_ReduceMin;
    uint64_t acc = order ? (uint64_t)int_limit(dt, op == OP_ReduceMin) :
                   op == OP_ReduceProd;

    for (int64_t i = 0; i < len; i++, walk_step(w)) {
        int64_t s = elem_get_int(dt, x->data, w->at);
        uint64_t v = (uint64_t)s;
        bool less = dt == DT_U64 ? v < acc : s < (int64_t)acc;
        switch (op) {
        case OP_ReduceMax: acc = less ? acc : v; break;
        case OP_ReduceMin: acc = less ? v : acc; break;
        case OP_ReduceProd: acc *= v; break;
        case OP_ReduceL1:
            acc += dtype_kind(dt) == DK_INT && s < 0 ? 0 - v : v;
            break;
        case OP_ReduceL2: case OP_ReduceSumSquare: acc += v * v; break;
        default: acc += v;
        }
    }
    return acc;
}

/* acc wrapped to dt, then the mean (truncated) or the root */
static int64_t finish_int(Op op, DType dt, uint64_t acc, int64_t count)
{
    uint64_t cell = 0;
    int64_t v;

    elem_set_int(dt, &cell, 0, (int64_t)acc);
    v = elem_get_int(dt, &cell, 0);
    if (op == OP_ReduceL2)
        return (int64_t)sqrt((double)cell);
    if (op != OP_ReduceMean)
        return v;
    return !count ? 0 : dt == DT_U64 ?
           (int64_t)((uint64_t)v / (uint64_t)count) : v / count;
}

/* Run-time axes as a mask; those outside the rank do not count. */
static void mask_at_run_time(const Type *x, const Tensor *axes, bool *mask)
{
    mask_all(x, false, mask);
    for (int64_t i = 0; i < type_elems(&axes->type); i++) {
        int64_t a = elem_get_int(axes->type.dt, axes->data, i);
        a += a < 0 ? x->rank : 0;
        if (a >= 0 && a < x->rank)
            mask[a] = true;
    }
}

bool eval_reduce(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type;
    int64_t count = type_elems(&out[0]->type);
    bool mask[MAX_RANK];
    Walk w;

    WIDEN(eval_reduce);
    if (!reduce_mask(n, mask))
        mask_at_run_time(x, in[1], mask);
    w = walk_new(x, mask);
    for (int64_t i = 0; i < count; i++) {
        int64_t len = w.count / count;
        if (dtype_is_float(x->dt))
            elem_set(x->dt, out[0]->data, i,
                     reduce_float(n->op, in[0], &w, len));
        else
            elem_set_int(x->dt, out[0]->data, i,
                         finish_int(n->op, x->dt,
                                    fold_int(n->op, in[0], &w, len), len));
    }
    return true;
}
