/* widths.c - layers whose width is chosen at run time.
 *
 * The graph is the widest model. What a width changes is constants (first
 * rows or columns, tables made of them); shapes follow. So a constant knows
 * what it is at each narrower level and which layer decides, and everything
 * else is derived: the graph at some widths is a copy with those constants
 * and inferred types. Passes never see levels: each runs on the graph at
 * every level, and what comes out, node by node the same, is joined again.
 * A step of the joined graph is at each width the step of the model that was
 * cut to it, which is why their results are the same bits.
 */
#include "ir.h"

#include <string.h>

static void clear_levels(Graph *g)
{
    for (int i = 0; i < g->nvalue; i++)
        g->value[i]->narrow = NULL;
    g->nlevel = g->nlayer = 0;
}

/* Types of what follows from changed operands. */
static bool infer_changed(Graph *g, bool *changed)
{
    for EACH_NODE(n, g) {
        bool affected = false;
        Type was[4];
        for (int i = 0; i < n->nin; i++)
            affected = affected || (n->in[i] && changed[n->in[i]->id]);
        for (int i = 0; affected && i < n->nout && i < 4; i++)
            if (n->out[i])
                was[i] = n->out[i]->type;
        if (affected && !node_infer(g, n))
            return false;
        for (int i = 0; affected && i < n->nout; i++)
            if (n->out[i])
                changed[n->out[i]->id] = i >= 4 ||
                                         !type_equal(&was[i],
                                                     &n->out[i]->type);
    }
    return true;
}

Graph *graph_at_width(Graph *g, const int *level)
{
    Graph *to = graph_clone(g);
    bool *changed = NEW_ARRAY(g->scratch, bool, g->nvalue + 1);

    for EACH_NODE(n, to)
        for (int i = 0; i < n->nin; i++) {
            const Narrow *w = n->in[i] ? n->in[i]->narrow : NULL;
            if (!w || level[w->layer] >= g->nlevel - 1)
                continue;
            node_set_input(n, i, w->at[level[w->layer]]);
            changed[n->in[i]->id] = true;
        }
    clear_levels(to);
    return infer_changed(to, changed) ? to : NULL;
}

Graph *graph_at_level(Graph *g, int level)
{
    int *all = NEW_ARRAY(g->scratch, int, g->nlayer + 1);

    for (int i = 0; i < g->nlayer; i++)
        all[i] = level;
    return graph_at_width(g, all);
}

/* Joining */

typedef struct Join {
    Graph *g;
    Graph *const *narrow;
    int n;                      /* graphs in narrow */
    int nnode;
    Node **node;                /* of g, by index */
    Node ***at;                 /* [level][index] */
    bool *varies;               /* by index */
    int *parent;                /* union-find over them: layers */
} Join;

static int root(Join *j, int i)
{
    while (j->parent[i] != i)
        i = j->parent[i] = j->parent[j->parent[i]];
    return i;
}

static bool same_constant(const Value *a, const Value *b)
{
    return type_equal(&a->type, &b->type) &&
           (a->data == b->data ||
            !memcmp(a->data, b->data, (size_t)type_bytes(&a->type)));
}

/* `a` of g and `b` of the graph at another level stand for the same. */
static bool same_value(const Value *a, const Value *b, Value *const *map)
{
    if (!a || !b)
        return !a && !b;
    if (value_is_const(a) || value_is_const(b))
        return value_is_const(a) && value_is_const(b) &&
               a->type.dt == b->type.dt;
    return map[b->id] == a && a->type.dt == b->type.dt;
}

static bool other_computation(const Node *n)
{
    node_error(n, "becomes another computation at another width: the widths "
               "of this model cannot be chosen at run time");
    return false;
}

static bool same_node(const Node *a, const Node *b, Value **map)
{
    if (a->op != b->op || a->nin != b->nin || a->nout != b->nout ||
        !attr_equal(op_info(a->op), a->attr, b->attr))
        return false;
    for (int i = 0; i < a->nin; i++)
        if (!same_value(a->in[i], b->in[i], map))
            return false;
    for (int i = 0; i < a->nout; i++) {
        if (!a->out[i] != !b->out[i])
            return false;
        if (b->out[i])
            map[b->out[i]->id] = a->out[i];
    }
    return true;
}

/* Is the graph at level l the same, node by node? */
static bool match(Join *j, int l)
{
    Graph *g = j->g, *h = j->narrow[l];
    Value **map = NEW_ARRAY(g->scratch, Value *, h->nvalue + 1);
    Node *b = h->first;
    const State *t = h->state;

    for (int i = 0; i < g->nin; i++)
        map[h->in[i]->id] = g->in[i];
    for (const State *s = g->state; s; s = s->next, t = t->next)
        map[t->in->id] = s->in;
    j->at[l] = NEW_ARRAY(g->scratch, Node *, j->nnode + 1);
    for (int i = 0; i < j->nnode; i++, b = b->next) {
        if (!b || !same_node(j->node[i], b, map))
            return other_computation(j->node[i]);
        j->at[l][i] = b;
    }
    return !b || other_computation(b);
}

static bool slot_varies(const Join *j, int node, int slot)
{
    const Value *v = node_in(j->node[node], slot);

    for (int l = 0; v && l < j->n; l++) {
        const Value *w = j->at[l][node]->in[slot];
        if (value_is_const(v) ? !same_constant(v, w)
                              : !type_equal(&v->type, &w->type))
            return true;
    }
    return false;
}

/* Nodes that a width changes; those that an affected value connects are of
 * one layer, and so is what follows such a node with constants of its own. */
static void find_varying(Join *j)
{
    for (int i = 0; i < j->nnode; i++) {
        const Node *n = j->node[i];
        bool own = false;
        j->parent[i] = i;
        for (int k = 0; k < n->nin; k++)
            if (slot_varies(j, i, k)) {
                j->varies[i] = true;
                own = own || !value_is_const(n->in[k]);
                if (n->in[k]->def)
                    j->parent[root(j, i)] = root(j, n->in[k]->def->index);
            }
        for (int k = 0; j->varies[i] && !own && k < n->nin; k++)
            if (n->in[k] && n->in[k]->def && j->varies[n->in[k]->def->index]
                && type_equal(&n->out[0]->type, &j->at[0][i]->out[0]->type))
                j->parent[root(j, i)] = root(j, n->in[k]->def->index);
    }
}

/* Layers in the order in which they end; *n: how many. By node's root. */
static int *number_layers(Join *j, int *n)
{
    int *layer = NEW_ARRAY(j->g->scratch, int, j->nnode + 1);
    int next = 0;

    for (int i = 0; i < j->nnode; i++)
        layer[i] = -1;
    for (int i = j->nnode - 1; i >= 0; i--)
        if (j->varies[i] && layer[root(j, i)] < 0)
            layer[root(j, i)] = next++;
    for (int i = 0; i < j->nnode; i++)
        if (layer[i] >= 0)
            layer[i] = next - 1 - layer[i];
    *n = next;
    return layer;
}

/* v as a constant of `layer` that is in[slot] of node i at the levels. */
static Value *narrow_constant(Join *j, int i, int slot, int layer)
{
    Graph *g = j->g;
    Value *v = j->node[i]->in[slot], *c;
    Narrow *n = NEW(g->arena, Narrow);

    c = v->nuse == 1 ? v : graph_const(g, arena_printf(g->arena, "%s_of%d",
                                                       v->name, layer),
                                       v->type, v->data);
    c->quant = v->quant;
    n->layer = layer;
    n->at = NEW_ARRAY(g->arena, Value *, j->n + 1);
    for (int l = 0; l < j->n; l++) {
        const Value *w = j->at[l][i]->in[slot];
        const char *name = arena_printf(g->arena, "%s_at%d", c->name, l);
        n->at[l] = graph_const(g, name, w->type, w->data);
        n->at[l]->quant = w->quant;
    }
    c->narrow = n;
    return c;
}

static Join join_begin(Graph *g, Graph *const *narrow, int n)
{
    Join j = { .g = g, .narrow = narrow, .n = n };
    Arena *a = g->scratch;

    for EACH_NODE(node, g)
        j.nnode++;
    j.node = NEW_ARRAY(a, Node *, j.nnode + 1);
    for EACH_NODE(node, g)
        j.node[node->index] = node;
    j.at = NEW_ARRAY(a, Node **, n + 1);
    j.varies = NEW_ARRAY(a, bool, j.nnode + 1);
    j.parent = NEW_ARRAY(a, int, j.nnode + 1);
    return j;
}

bool graph_join_widths(Graph *g, Graph *const *narrow, int nlayer)
{
    int n = 0, found, *layer;
    Join j;

    clear_levels(g);
    graph_tidy(g);
    for (; narrow[n]; n++)
        graph_number(narrow[n]);
    j = join_begin(g, narrow, n);
    for (int l = 0; l < n; l++)
        if (!match(&j, l))
            return false;
    find_varying(&j);
    layer = number_layers(&j, &found);
    if (found != nlayer)
        return diag_error(g->diag, "%d layers have widths to choose from, %d "
                          "were expected: they cannot be told apart", found,
                          nlayer);
    for (int i = 0; i < j.nnode; i++)
        for (int k = 0; j.varies[i] && k < j.node[i]->nin; k++)
            if (value_is_const(j.node[i]->in[k]) && slot_varies(&j, i, k))
                node_set_input(j.node[i], k,
                               narrow_constant(&j, i, k, layer[root(&j, i)]));
    g->nlevel = n + 1;
    g->nlayer = nlayer;
    return true;
}

/* Attaching */

static void lie_alike(Graph *to, const Graph *g)
{
    for (int i = 0; i < g->nvalue && i < to->nvalue; i++) {
        to->value[i]->buf = g->value[i]->buf;
        to->value[i]->delta = g->value[i]->delta;
        to->value[i]->store = g->value[i]->store;
    }
    to->plan = g->plan;
}

static bool differs(const Node *n, const Node *w)
{
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !(value_is_const(n->in[i])
                              ? same_constant(n->in[i], w->in[i])
                              : type_equal(&n->in[i]->type,
                                           &w->in[i]->type)))
            return true;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && !type_equal(&n->out[i]->type, &w->out[i]->type))
            return true;
    return false;
}

/* The layer of a node: of its constants, or of the values it reads. */
static int layer_of(const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && n->in[i]->narrow)
            return n->in[i]->narrow->layer;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && n->in[i]->def && n->in[i]->def->narrow)
            return n->in[i]->def->layer;
    return 0;
}

Graph **widths_attach(Graph *g)
{
    int n = g->nlevel - 1;
    Graph **at = NEW_ARRAY(g->arena, Graph *, n + 2);

    for EACH_NODE(node, g)
        node->narrow = NULL;
    graph_number(g);
    for (int l = 0; l < n; l++) {
        Node *w;
        at[l] = graph_at_level(g, l);
        if (!at[l])
            return NULL;
        lie_alike(at[l], g);
        graph_number(at[l]);
        w = at[l]->first;
        for EACH_NODE(node, g) {
            w->scratch_buf = node->scratch_buf;
            w->whole = node;
            if (!node->narrow && differs(node, w)) {
                node->narrow = NEW_ARRAY(g->arena, Node *, n);
                node->layer = layer_of(node);
            }
            w = w->next;
        }
    }
    for (int l = 0; l < n; l++) {
        Node *w = at[l]->first;
        for EACH_NODE(node, g) {
            if (node->narrow)
                node->narrow[l] = w;
            w = w->next;
        }
    }
    return at;
}

/* Equal in the first indices of every axis, rows at a time. */
static bool is_first_part(const Value *part, const Value *v)
{
    const Type *p = &part->type, *t = &v->type;
    int64_t stride[MAX_RANK], size = dtype_bytes(t->dt), run, rows;
    int last = t->rank - 1;

    if (p->dt != t->dt || p->rank != t->rank || dtype_bits(t->dt) < 8)
        return false;
    for (int i = 0; i < t->rank; i++)
        if (p->dim[i] > t->dim[i])
            return false;
    type_strides(t, stride);
    run = last >= 0 ? p->dim[last] : 1;
    rows = run ? type_elems(p) / run : 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = 0, rest = r;
        for (int i = last - 1; i >= 0; i--) {
            at += rest % p->dim[i] * stride[i];
            rest /= p->dim[i];
        }
        if (memcmp((const char *)part->data + r * run * size,
                   (const char *)v->data + at * size, (size_t)(run * size)))
            return false;
    }
    return true;
}

const Value *whole_operand(const Node *n, int i)
{
    const Value *v = n->whole ? node_in(n->whole, i) : NULL;

    return value_is_const(v) && value_is_const(node_in(n, i)) &&
           is_first_part(n->in[i], v) ? v : NULL;
}
