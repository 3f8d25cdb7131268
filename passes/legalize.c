/* legalize.c - float16 and bfloat16 where a kernel computes in float.
 *
 * Elementwise, view and movement code reads and writes 16-bit floats itself.
 * Every other op gets Casts around it: computed in float, rounded once.
 */
#include "passes.h"

static bool is_half(const Value *v)
{
    return v && (v->type.dt == DT_F16 || v->type.dt == DT_BF16);
}

static Type as_float(Type t)
{
    t.dt = DT_F32;
    return t;
}

static Value *float_const(Graph *g, const Value *v)
{
    int64_t n = type_elems(&v->type);
    float *p = NEW_ARRAY(g->arena, float, n);

    for (int64_t i = 0; i < n; i++)
        p[i] = (float)elem_get(v->type.dt, v->data, i);
    return graph_const(g, v->name, as_float(v->type), p);
}

static Node *cast_node(Graph *g, Node *before, Value *x, DType to)
{
    Node *n = node_new(g, OP_Cast, arena_printf(g->arena, "%s_%s", x->name,
                                                dtype_suffix(to)), 1, &x, 1);

    ATTRS(cast, n)->to = to;
    n->out[0]->type = x->type;
    n->out[0]->type.dt = to;
    graph_insert(g, before, n);
    return n;
}

static void widen(Graph *g, Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        Value *v = n->in[i];
        if (!is_half(v))
            continue;
        node_set_input(n, i, value_is_const(v)
                                 ? float_const(g, v)
                                 : cast_node(g, n, v, DT_F32)->out[0]);
    }
    for (int i = 0; i < n->nout; i++) {
        Value *y = n->out[i], *wide;
        Node *cast;
        if (!is_half(y))
            continue;
        wide = graph_value(g, y->name, as_float(y->type));
        node_set_output(n, i, wide);
        cast = cast_node(g, n->next, wide, y->type.dt);
        node_set_output(cast, 0, y);
    }
}

static bool has_half(const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (is_half(n->in[i]))
            return true;
    for (int i = 0; i < n->nout; i++)
        if (is_half(n->out[i]))
            return true;
    return false;
}

bool pass_legalize(Graph *g, const PassOptions *opt, bool *changed)
{
    (void)opt;
    for EACH_NODE(n, g)
        if (!op_has(n->op, T_MAP | T_VIEW | T_MOVE) && has_half(n)) {
            widen(g, n);
            *changed = true;
        }
    return true;
}
