/* verify.c - every invariant of a graph, stated once. It runs after each
 * pass in tests; a failure is a bug of ours, never of a model. */
#include "region.h"

#include <string.h>

static bool broken(Graph *g, const char *what, const char *name)
{
    return diag_error(g->diag, "internal error: %s: '%s'", what, name);
}

static int count_uses(const Value *v, const Node *n)
{
    int uses = 0;

    for (int i = 0; i < n->nin; i++)
        uses += n->in[i] == v;
    return uses;
}

static bool check_value(Graph *g, const Value *v)
{
    if (!v->name || !*v->name)
        return broken(g, "value without a name", "");
    if (v->def && v->data)
        return broken(g, "constant that a node makes", v->name);
    if (v->def && (v->def_index >= v->def->nout ||
                   v->def->out[v->def_index] != v))
        return broken(g, "value whose maker does not know it", v->name);
    for (int l = 0; v->narrow && l < g->nlevel - 1; l++)
        if (!v->data || !value_is_const(v->narrow->at[l]) ||
            v->narrow->layer < 0 || v->narrow->layer >= g->nlayer)
            return broken(g, "width of no constant, or no layer", v->name);
    for (int i = 0; i < v->nuse; i++)
        if (!count_uses(v, v->use[i]))
            return broken(g, "use list names a stranger", v->name);
    return true;
}

static bool check_operands(Graph *g, const Node *n, const bool *made)
{
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i];
        int listed = 0;
        if (!v)
            continue;
        if (!made[v->id])
            return broken(g, "operand is used before it is made", v->name);
        for (int k = 0; k < v->nuse; k++)
            listed += v->use[k] == n;
        if (listed != count_uses(v, n))
            return broken(g, "use list is wrong", v->name);
        if (!type_known(&v->type))
            return broken(g, "operand of unknown type", v->name);
    }
    return true;
}

static bool check_node(Graph *g, const Node *n, bool *made)
{
    if (n->graph != g || (n->next ? n->next->prev : g->last) != n)
        return broken(g, "node list is broken", n->name);
    if (!check_operands(g, n, made))
        return false;
    for (int i = 0; i < n->nout; i++) {
        const Value *v = n->out[i];
        if (!v)
            continue;
        if (v->def != n || made[v->id])
            return broken(g, "value is made twice", v->name);
        if (!type_known(&v->type))
            return broken(g, "result of unknown type", v->name);
        made[v->id] = true;
    }
    return true;
}

bool graph_verify(Graph *g)
{
    bool *made = NEW_ARRAY(g->scratch, bool, g->nvalue);

    for (int i = 0; i < g->nvalue; i++) {
        if (!check_value(g, g->value[i]))
            return false;
        made[i] = value_is_const(g->value[i]) || g->value[i]->is_input;
    }
    for EACH_NODE(n, g)
        if (!check_node(g, n, made))
            return false;
    for (int i = 0; i < g->nout; i++)
        if (!made[g->out[i]->id] || !g->out[i]->is_output)
            return broken(g, "graph output is never made", g->out[i]->name);
    return regions_verify(g);
}
