/* views.c - results that are bytes of their operand, at a constant place.
 *
 * Reshape and its kin are the whole operand. A Slice, Split or Gather of one
 * index is a part of it in one piece when no axis before the cut one has more
 * than one element.
 */
#include "ir.h"

/* y is x cut along one axis, from index `from` on: the bytes before it. */
static bool cut_shift(const Type *x, const Type *y, int axis, int64_t from,
                      int64_t *shift)
{
    int64_t inner = type_span(x, axis + 1, x->rank);

    if (type_span(x, 0, axis) != 1 || dtype_bits(x->dt) < 8 || from < 0 ||
        from * inner + type_elems(y) > type_elems(x))
        return false;
    *shift = from * inner * dtype_bytes(x->dt);
    return true;
}

/* The one axis along which x and y differ; -1: none, -2: several. */
static int changed_axis(const Type *x, const Type *y)
{
    int axis = -1;

    for (int i = 0; i < x->rank; i++)
        if (x->dim[i] != y->dim[i]) {
            if (axis >= 0)
                return -2;
            axis = i;
        }
    return axis;
}

static bool slice_shift(const Node *n, int64_t *shift)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    int64_t starts[MAX_RANK], axes[MAX_RANK], steps[MAX_RANK];
    int count, k, cut = changed_axis(x, y);

    if (!value_ints(n->in[1], MAX_RANK, starts, &count))
        return false;
    if (node_in(n, 3) ? !value_ints(n->in[3], MAX_RANK, axes, &k)
                      : (k = count, false))
        return false;
    for (int i = 0; i < count && !node_in(n, 3); i++)
        axes[i] = i;
    if (node_in(n, 4) && !value_ints(n->in[4], MAX_RANK, steps, &k))
        return false;
    for (int i = 0; node_in(n, 4) && i < count; i++)
        if (steps[i] != 1)
            return false;
    if (cut < 0)
        return cut == -1 && cut_shift(x, y, 0, 0, shift);
    for (int i = 0; i < count; i++) {
        int a = (int)(axes[i] < 0 ? axes[i] + x->rank : axes[i]);
        int64_t from = starts[i] < 0 ? starts[i] + x->dim[cut] : starts[i];
        if (a == cut)
            return cut_shift(x, y, cut, from < 0 ? 0 : from, shift);
    }
    return false;
}

static bool split_shift(const Node *n, int o, int64_t *shift)
{
    const Type *x = &n->in[0]->type;
    int64_t axis = ATTRS(split, n)->axis, from = 0;

    if (axis < 0)
        axis += x->rank;
    for (int i = 0; i < o; i++) {
        if (!n->out[i])
            return false;
        from += n->out[i]->type.dim[axis];
    }
    return cut_shift(x, &n->out[o]->type, (int)axis, from, shift);
}

static bool gather_shift(const Node *n, int64_t *shift)
{
    const Type *x = &n->in[0]->type;
    const Value *index = n->in[1];
    int64_t axis = ATTRS(axis0, n)->axis, k;

    if (!value_is_const(index) || type_elems(&index->type) != 1)
        return false;
    if (axis < 0)
        axis += x->rank;
    k = elem_get_int(index->type.dt, index->data, 0);
    return cut_shift(x, &n->out[0]->type, (int)axis,
                     k < 0 ? k + x->dim[axis] : k, shift);
}

int64_t node_part_place(const Node *n, int k)
{
    const Type *y = &n->out[0]->type;
    int64_t axis = ATTRS(concat, n)->axis, from = 0;

    axis += axis < 0 ? y->rank : 0;
    if (type_span(y, 0, (int)axis) != 1 || dtype_bits(y->dt) < 8)
        return -1;
    for (int i = 0; i < k; i++)
        from += n->in[i]->type.dim[axis];
    return from * type_span(y, (int)axis + 1, y->rank) * dtype_bytes(y->dt);
}

bool node_view_shift(const Node *n, int o, int64_t *shift)
{
    const Value *x = node_in(n, 0), *y = node_out(n, o);

    if (!x || !y || value_is_const(x))
        return false;
    *shift = 0;
    if (op_has(n->op, T_VIEW))
        return o == 0;
    switch (n->op) {
    case OP_Slice: return slice_shift(n, shift);
    case OP_Split: return split_shift(n, o, shift);
    case OP_Gather: return gather_shift(n, shift);
    default: return false;
    }
}
