/* edit.c - questions and edits that rewriting passes share. */
#include "edit.h"

#include <math.h>

Node *maker(const Value *v, Op op)
{
    return v && v->def && v->def->op == op ? v->def : NULL;
}

bool only_use(const Value *v)
{
    return v->nuse == 1 && !v->is_output;
}

Node *only_reader(const Value *v, Op op)
{
    return only_use(v) && v->use[0]->op == op ? v->use[0] : NULL;
}

bool const_splat(const Value *v, double *x)
{
    int64_t n;

    if (!value_is_const(v) || (n = type_elems(&v->type)) < 1)
        return false;
    *x = elem_get(v->type.dt, v->data, 0);
    for (int64_t i = 1; i < n; i++)
        if (elem_get(v->type.dt, v->data, i) != *x)
            return false;
    return true;
}

bool is_splat(const Value *v, double x)
{
    double y;

    return const_splat(v, &y) && fabs(y - x) <= 1e-6 * fabs(x);
}

bool splat_operand(const Node *n, double *x, Value **other)
{
    for (int i = 0; i < 2; i++)
        if (const_splat(n->in[i], x)) {
            *other = n->in[1 - i];
            return true;
        }
    return false;
}

bool bypass(Graph *g, Node *n, Value *x)
{
    Value *y = n->out[0];
    Node *def;
    int slot;

    if (!type_equal(&x->type, &y->type))
        return false;
    for (int i = 1; i < n->nout; i++)
        if (n->out[i] && (n->out[i]->nuse || n->out[i]->is_output))
            return false;
    if (!y->is_output) {
        value_replace(g, y, x);
        graph_remove(g, n);
        return true;
    }
    if (!x->def || x->is_output)
        return false;
    def = x->def;               /* let x's maker make the output itself */
    slot = x->def_index;
    graph_remove(g, n);
    value_replace(g, x, y);
    node_set_output(def, slot, y);
    return true;
}

Node *insert_op(Graph *g, Node *at, Op op, const char *name, int nin,
                Value **in, Type t)
{
    Node *n = node_new(g, op, name, nin, in, 1);

    n->out[0]->type = t;
    graph_insert(g, at, n);
    return n;
}

void take_result(Graph *g, Node *n, Node *old)
{
    Value *y = old->out[0];

    graph_remove(g, old);
    node_set_output(n, 0, y);
}

float *const_floats(Graph *g, const Value *v)
{
    int64_t n = type_elems(&v->type);
    float *p = NEW_ARRAY(g->arena, float, n);

    for (int64_t i = 0; i < n; i++)
        p[i] = (float)elem_get(v->type.dt, v->data, i);
    return p;
}
