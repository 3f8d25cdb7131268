/* classes.c - which tensors are quantized, and which of them alike.
 *
 * A tensor gets Q and DQ when an op with an integer form reads or makes it.
 * Ops that only move elements make their operands and results one class: a
 * Reshape cannot rescale. A Concat takes in operands that nobody else reads;
 * the others, and the model's inputs, keep a scale of their own and are
 * rescaled in front of it. The two ends of a --state buffer are one class.
 */
#include "ptq_int.h"

static int root(Ptq *p, int i)
{
    while (p->parent[i] != i)
        i = p->parent[i] = p->parent[p->parent[i]];
    return i;
}

static void join(Ptq *p, const Value *a, const Value *b)
{
    int i = root(p, a->id), k = root(p, b->id);

    p->parent[i > k ? i : k] = i > k ? k : i;
}

int class_root(const Ptq *p, const Value *v)
{
    int i = v->id;

    while (p->parent[i] != i)
        i = p->parent[i];
    return i;
}

Class *class_of(const Ptq *p, const Value *v)
{
    Class *c;

    if (!is_float_value(v) || v->id >= p->nvalue)
        return NULL;
    c = &p->class[class_root(p, v)];
    return c->active && p->marked[v->id] ? c : NULL;
}

/* May the operand of a Concat have the result's scale? */
static bool gives_way(const Value *v)
{
    return value_is_const(v) || (v->def && v->nuse == 1 && !v->is_output);
}

static void join_node(Ptq *p, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (slot_is_activation(n, i) &&
            (n->op != OP_Concat || n->nin == 1 || gives_way(n->in[i])))
            join(p, n->in[i], n->out[0]);
    for (int i = 1; i < n->nout; i++)
        if (is_float_value(n->out[i]))
            join(p, n->out[i], n->out[0]);
}

/* An op with an integer form touches the class. */
static void touch(Ptq *p, const Value *v)
{
    if (!is_float_value(v) || type_elems(&v->type) == 0)
        return;
    p->marked[v->id] = true;
    p->class[root(p, v->id)].active = true;
}

static void touch_op(Ptq *p, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (slot_is_activation(n, i) && !n->in[i]->data &&
            !is_inner(n->in[i]))
            touch(p, n->in[i]);
    if (!is_inner(n->out[0]))
        touch(p, n->out[0]);
}

/* Around nodes that move codes everything is codes once anything is. */
static void touch_pass(Ptq *p, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (slot_is_activation(n, i))
            p->marked[n->in[i]->id] = true;
    for (int i = 0; i < n->nout; i++)
        if (is_float_value(n->out[i]))
            p->marked[n->out[i]->id] = true;
}

/* Concat operands with a scale of their own are active with the result. */
static bool spread(Ptq *p)
{
    bool more = false;

    for EACH_NODE(n, p->g)
        if (n->op == OP_Concat && node_role(n) == ROLE_PASS)
            for (int i = 0; i < n->nin; i++) {
                Class *x = &p->class[root(p, n->in[i]->id)];
                if (p->class[root(p, n->out[0]->id)].active && !x->active)
                    more = x->active = true;
            }
    return more;
}

void classes_build(Ptq *p)
{
    Graph *g = p->g;

    p->nvalue = g->nvalue;
    p->parent = NEW_ARRAY(p->arena, int, g->nvalue);
    p->class = NEW_ARRAY(p->arena, Class, g->nvalue);
    p->marked = NEW_ARRAY(p->arena, bool, g->nvalue);
    for (int i = 0; i < g->nvalue; i++)
        p->parent[i] = i;
    for EACH_NODE(n, g)
        if (node_role(n) == ROLE_PASS)
            join_node(p, n);
    for (const State *s = g->state; s; s = s->next)
        if (is_float_value(s->in))
            join(p, s->in, s->out);
    for EACH_NODE(n, g)
        if (node_role(n) == ROLE_OP)
            touch_op(p, n);
        else if (node_role(n) == ROLE_PASS)
            touch_pass(p, n);
    while (spread(p))
        ;
    for (const State *s = g->state; s; s = s->next)
        if (is_float_value(s->in))
            p->class[root(p, s->in->id)].state = true;
    for (int i = 0; i < g->nvalue; i++) {
        Class *c = &p->class[root(p, i)];
        c->output |= g->value[i]->is_output;
        if (root(p, i) == i && c->active)
            hist_init(&c->hist, p->arena);
    }
}
