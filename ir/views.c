/* views.c - results that are bytes of their operand, at a constant place.
 *
 * Reshape and its kin are the whole operand. A Slice, Split or Gather of one
 * index is a part of it in one piece when no axis before the cut one has more
 * than one element.
 */
#include "ir.h"

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

static bool slice_part(const Node *n, int *axis, int64_t *from)
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
    *axis = *from = 0;
    if (cut < 0)
        return cut == -1;
    for (int i = 0; i < count; i++) {
        int a = (int)(axes[i] < 0 ? axes[i] + x->rank : axes[i]);
        int64_t start = starts[i] < 0 ? starts[i] + x->dim[cut] : starts[i];
        if (a != cut)
            continue;
        *axis = cut;
        *from = start < 0 ? 0 : start;
        return true;
    }
    return false;
}

static bool split_part(const Node *n, int o, int *axis, int64_t *from)
{
    const Type *x = &n->in[0]->type;
    int64_t a = ATTRS(split, n)->axis;

    *axis = (int)(a < 0 ? a + x->rank : a);
    *from = 0;
    for (int i = 0; i < o; i++) {
        if (!n->out[i])
            return false;
        *from += n->out[i]->type.dim[*axis];
    }
    return true;
}

static bool gather_part(const Node *n, int *axis, int64_t *from)
{
    const Type *x = &n->in[0]->type;
    const Value *index = n->in[1];
    int64_t a = ATTRS(axis0, n)->axis, k;

    if (!value_is_const(index) || type_elems(&index->type) != 1)
        return false;
    *axis = (int)(a < 0 ? a + x->rank : a);
    k = elem_get_int(index->type.dt, index->data, 0);
    *from = k < 0 ? k + x->dim[*axis] : k;
    return true;
}

bool node_part_of(const Node *n, int o, int *axis, int64_t *from)
{
    if (!node_in(n, 0) || !node_out(n, o))
        return false;
    switch (n->op) {
    case OP_Slice: return slice_part(n, axis, from);
    case OP_Split: return split_part(n, o, axis, from);
    case OP_Gather: return gather_part(n, axis, from);
    default: return false;
    }
}

/* Result o is x cut along one axis: the bytes before it, when it is there in
 * one piece. */
static bool part_shift(const Node *n, int o, int64_t *shift)
{
    const Type *x = &n->in[0]->type, *y = &n->out[o]->type;
    int64_t from, inner;
    int axis;

    if (!node_part_of(n, o, &axis, &from))
        return false;
    inner = type_span(x, axis + 1, x->rank);
    if (type_span(x, 0, axis) != 1 || dtype_bits(x->dt) < 8 || from < 0 ||
        from * inner + type_elems(y) > type_elems(x))
        return false;
    *shift = from * inner * dtype_bytes(x->dt);
    return true;
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
    return part_shift(n, o, shift);
}
