/* clone.c - a second copy of a graph, for who must run it as it was while
 * passes change the first. Constant data are shared: nobody writes them. */
#include <string.h>

#include "../support/map.h"
#include "ir.h"

static Value *clone_value(Graph *to, const Value *v)
{
    Value *c = graph_value(to, v->name, v->type);

    c->label = v->label;
    c->data = v->data;
    c->quant = v->quant;
    c->is_input = v->is_input;
    c->is_output = v->is_output;
    return c;
}

static Node *clone_node(Graph *to, const Node *n, Value *const *map)
{
    Node *c = NEW(to->arena, Node);

    *c = *n;
    c->graph = to;
    c->prev = c->next = NULL;
    c->scratch_buf = NULL;
    c->narrow = NULL;
    c->whole = NULL;
    c->in = NEW_ARRAY(to->arena, Value *, n->nin);
    c->out = NEW_ARRAY(to->arena, Value *, n->nout);
    c->attr = arena_memdup(to->arena, n->attr,
                           (size_t)op_info(n->op)->attr_bytes);
    for (int i = 0; i < n->nin; i++)
        if (n->in[i])
            node_set_input(c, i, map[n->in[i]->id]);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            node_set_output(c, i, map[n->out[i]->id]);
    return c;
}

static void clone_states(Graph *to, const Graph *g, Value *const *map)
{
    State **end = &to->state;

    for (const State *s = g->state; s; s = s->next) {
        State *c = NEW(to->arena, State);
        c->in = map[s->in->id];
        c->out = map[s->out->id];
        *end = c;
        end = &c->next;
    }
}

static Value **clone_list(Arena *a, int n, Value *const *v, Value *const *map)
{
    Value **list = NEW_ARRAY(a, Value *, n);

    for (int i = 0; i < n; i++)
        list[i] = map[v[i]->id];
    return list;
}

static void clone_narrow(Graph *to, const Graph *g, Value *const *map)
{
    for (int i = 0; i < g->nvalue; i++) {
        const Narrow *from = g->value[i]->narrow;
        Narrow *n;
        if (!from)
            continue;
        n = NEW(to->arena, Narrow);
        n->layer = from->layer;
        n->at = clone_list(to->arena, g->nlevel - 1, from->at, map);
        map[i]->narrow = n;
    }
}

Graph *graph_clone(const Graph *g)
{
    Graph *to = NEW(g->arena, Graph);
    Value **map = NEW_ARRAY(g->arena, Value *, g->nvalue);

    *to = *g;
    to->first = to->last = NULL;
    to->nvalue = to->capvalue = 0;
    to->value = NULL;
    to->state = NULL;
    to->plan = NULL;
    to->names = NEW(g->arena, struct Map);
    map_init(to->names, g->arena);
    for (int i = 0; i < g->nvalue; i++)
        map[i] = clone_value(to, g->value[i]);
    clone_narrow(to, g, map);
    for EACH_NODE(n, g)
        graph_append(to, clone_node(to, n, map));
    clone_states(to, g, map);
    to->in = clone_list(to->arena, g->nin, g->in, map);
    to->out = clone_list(to->arena, g->nout, g->out, map);
    to->capin = g->nin;
    to->capout = g->nout;
    return to;
}
