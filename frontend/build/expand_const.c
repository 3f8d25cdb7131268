/* expand_const.c - Constant in all its forms. */
#include "build.h"

static Value *ints_const(Build *b, const Ints *v)
{
    return graph_const_ints(b->g, NULL, v->n, v->v);
}

static Value *floats_const(Build *b, const Floats *v)
{
    return graph_const(b->g, NULL, type_vector(DT_F32, v->n),
                       arena_memdup(b->g->arena, v->v,
                                    (size_t)v->n * sizeof *v->v));
}

bool expand_constant(Build *b, Draft *d)
{
    ModelTensor *t;
    int64_t i;
    float f;
    Ints ints;
    Floats floats;

    if (d->nin || d->nout > 1)
        return draft_error(b, d, "takes no inputs and gives one output");
    if (take_tensor(b, d, "value", &t))
        d->out[0] = tensor_const(b, t, NULL);
    else if (take_int(b, d, "value_int", &i))
        d->out[0] = graph_const(b->g, NULL, type_scalar(DT_I64),
                                arena_memdup(b->g->arena, &i, sizeof i));
    else if (take_float(b, d, "value_float", &f))
        d->out[0] = graph_const_scalar(b->g, NULL, DT_F32, f);
    else if (take_ints(b, d, "value_ints", &ints))
        d->out[0] = ints_const(b, &ints);
    else if (take_floats(b, d, "value_floats", &floats))
        d->out[0] = floats_const(b, &floats);
    else if (draft_attr(d, "value_string") || draft_attr(d, "value_strings"))
        return draft_error(b, d, "strings are not supported");
    else
        return !b->failed &&
               draft_error(b, d, "has no value of a supported kind");
    return true;
}

/* The attribute is the value of every element; ours is a second operand. */
bool expand_constantofshape(Build *b, Draft *d)
{
    ModelTensor *t = NULL;
    Value *in[2] = { draft_in(d, 0), NULL };

    if (!draft_arity(b, d, 1, 2, 1))
        return false;
    in[1] = draft_in(d, 1);
    if (take_tensor(b, d, "value", &t)) {
        if (type_elems(&t->type) != 1)
            return draft_error(b, d, "value has %lld elements, must have 1",
                               (long long)type_elems(&t->type));
        in[1] = graph_const(b->g, NULL, type_scalar(t->type.dt),
                            tensor_const(b, t, NULL)->data);
    }
    d->out[0] = b_declared(b, d, b_node(b, OP_ConstantOfShape,
                                        in[1] ? 2 : 1, in, 1));
    return true;
}
