/* expand_data.c - ops whose result is as large as the data says: NonZero and
 * Compress. Of constants they are constants. Otherwise the model must
 * declare the length, and the first K places that hold are found by TopK,
 * which keeps the order of equal values. */
#include "build.h"

#include <string.h>

static int64_t count_nonzero(const Value *v, int64_t n)
{
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++)
        count += elem_get(v->type.dt, v->data, i) != 0;
    return count;
}

/* int64[k]: places of v (flat, of n elements) that are not zero */
static Value *constant_places(Build *b, const Value *v, int64_t n)
{
    int64_t k = count_nonzero(v, n), at = 0;
    int64_t *data = arena_array(b->g->arena, (size_t)k + 1, sizeof *data);

    for (int64_t i = 0; i < n; i++)
        if (elem_get(v->type.dt, v->data, i) != 0)
            data[at++] = i;
    return graph_const(b->g, NULL, type_vector(DT_I64, k), data);
}

static Value *topk_places(Build *b, Value *v, int64_t k)
{
    int64_t n = type_elems(&v->type);
    Value *flag, *in[2], *out[2];

    flag = b_cast(b, b_cast(b, v, DT_BOOL), DT_I32);
    in[0] = b_reshape(b, flag, 1, &n);
    in[1] = b_int(b, k);
    b_end_all(b, b_node(b, OP_TopK, 2, in, 2), out);
    return out[1];
}

/* Compress: the slices of x along an axis where the condition holds */

static bool compress_axis(Build *b, Draft *d, Value **x, int *axis)
{
    int64_t a = 0, all = type_elems(&d->in[0]->type);
    bool given = take_int(b, d, "axis", &a);
    int rank = d->in[0]->type.rank;

    *x = given ? d->in[0] : b_reshape(b, d->in[0], 1, &all);
    rank = given ? rank : 1;
    a = a < 0 ? a + rank : a;
    if (a < 0 || a >= rank)
        return draft_error(b, d, "axis %lld is outside rank %d",
                           (long long)a, rank);
    *axis = (int)a;
    return true;
}

bool expand_compress(Build *b, Draft *d)
{
    Value *x, *cond, *in[2];
    const Type *t;
    int64_t n;
    Node *node;
    int axis = 0;

    if (!draft_arity(b, d, 2, 2, 1) || !compress_axis(b, d, &x, &axis))
        return false;
    cond = d->in[1];
    if (cond->type.rank != 1 || cond->type.dt != DT_BOOL)
        return draft_error(b, d, "the condition is not a vector of bool");
    n = x->type.dim[axis] < cond->type.dim[0] ? x->type.dim[axis]
                                              : cond->type.dim[0];
    t = &d->declared[0];
    if (value_is_const(cond))
        in[1] = constant_places(b, cond, n);
    else if (type_known(t) && t->rank == x->type.rank && t->dim[axis] <= n)
        in[1] = topk_places(b, b_slice(b, cond, 0, 0, n), t->dim[axis]);
    else
        return draft_error(b, d, "the length of its result depends on '%s' "
                           "and is not declared", cond->name);
    in[0] = x;
    node = b_node(b, OP_Gather, 2, in, 1);
    ATTRS(axis0, node)->axis = axis;
    d->out[0] = b_end(b, node);
    return true;
}

/* NonZero: int64[rank, k], one column per element */

/* Flat places into coordinates: divide by the stride, take the remainder. */
static Value *coordinates(Build *b, const Type *t, Value *flat)
{
    int64_t stride[MAX_RANK], row[2] = { 1, 0 };
    Value *v[MAX_RANK];

    type_strides(t, stride);
    row[1] = type_elems(&flat->type);
    for (int i = 0; i < t->rank; i++) {
        Value *q = b_op2(b, OP_Div, flat,
                         b_scalar(b, DT_I64, (double)stride[i]));
        q = b_op2(b, OP_Mod, q, b_scalar(b, DT_I64, (double)t->dim[i]));
        v[i] = b_reshape(b, q, 2, row);
    }
    return b_concat(b, 0, t->rank, v);
}

bool expand_nonzero(Build *b, Draft *d)
{
    const Type *t = &d->declared[0];
    Value *x, *flat;

    if (!draft_arity(b, d, 1, 1, 1))
        return false;
    x = d->in[0];
    if (x->type.rank < 1)
        return draft_error(b, d, "of a scalar is not supported");
    if (value_is_const(x))
        flat = constant_places(b, x, type_elems(&x->type));
    else if (type_known(t) && t->rank == 2 &&
             t->dim[1] <= type_elems(&x->type))
        flat = topk_places(b, x, t->dim[1]);
    else
        return draft_error(b, d, "the length of its result depends on '%s' "
                           "and is not declared", x->name);
    d->out[0] = coordinates(b, &x->type, flat);
    return true;
}
