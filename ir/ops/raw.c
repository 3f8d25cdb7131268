/* raw.c - movement of 4-bit types one element per byte, and constant
 * operands as tensors: helpers of the movement ops. */
#include "../move.h"

static bool packed(const Type *t)
{
    return dtype_bits(t->dt) < 8;
}

bool raw_known(const Node *n)
{
    for (int i = 0; packed(&n->in[0]->type) && i < n->nin; i++)
        if (n->in[i] && !value_is_const(n->in[i]))
            return node_error(n, "is not supported for %s at run time",
                              dtype_name(n->in[0]->type.dt));
    return true;
}

const void *raw_in(const Tensor *t, Arena *scratch)
{
    int64_t n = type_elems(&t->type);
    uint8_t *p;

    if (!packed(&t->type))
        return t->data;
    p = NEW_ARRAY(scratch, uint8_t, n + 1);
    for (int64_t i = 0; i < n; i++)
        p[i] = (uint8_t)elem_get_int(t->type.dt, t->data, i);
    return p;
}

void *raw_out(Tensor *t, Arena *scratch)
{
    if (!packed(&t->type))
        return t->data;
    return NEW_ARRAY(scratch, uint8_t, type_elems(&t->type) + 1);
}

void raw_done(Tensor *t, const void *raw)
{
    int64_t n = type_elems(&t->type);

    if (!packed(&t->type))
        return;
    for (int64_t i = 0; i < n; i++)
        elem_set_int(t->type.dt, t->data, i, ((const uint8_t *)raw)[i]);
}

bool const_operands(const Node *n, int first, Tensor *store,
                    const Tensor **in, const Value **which)
{
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i];
        in[i] = NULL;
        if (value_is_const(v)) {
            store[i].type = v->type;
            store[i].data = (void *)(uintptr_t)v->data;
            in[i] = &store[i];
        } else if (v && i >= first) {
            *which = v;
            return false;
        }
    }
    return true;
}
