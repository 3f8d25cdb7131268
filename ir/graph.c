/* graph.c - the only code that edits a graph, so that use lists, names and
 * the schedule list cannot get out of step. */
#include "ir.h"
#include "region.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../support/map.h"

Graph *graph_new(Arena *arena, Arena *scratch, Diag *diag)
{
    Graph *g = NEW(arena, Graph);

    g->arena = arena;
    g->scratch = scratch;
    g->diag = diag;
    g->name = "graph";
    g->names = NEW(arena, struct Map);
    map_init(g->names, arena);
    return g;
}

Value *graph_find(Graph *g, const char *name)
{
    return map_get(g->names, name);
}

const char *graph_fresh_name(Graph *g, const char *hint)
{
    char *name;

    if (hint && *hint && !map_get(g->names, hint))
        return arena_strdup(g->arena, hint);
    if (!hint || !*hint)
        hint = "v";
    do
        name = arena_printf(g->arena, "%s_%d", hint, g->next_id++);
    while (map_get(g->names, name));
    return name;
}

Value *graph_value(Graph *g, const char *name, Type t)
{
    Value *v = NEW(g->arena, Value);

    v->name = graph_fresh_name(g, name);
    v->type = t;
    v->id = g->nvalue;
    PUSH(g->arena, g->value, g->nvalue, g->capvalue, v);
    map_put(g->names, v->name, v);
    return v;
}

Value *graph_const(Graph *g, const char *name, Type t, const void *data)
{
    static const uint64_t empty;        /* a constant of no elements */
    Value *v = graph_value(g, name, t);

    v->data = data ? data : &empty;
    return v;
}

Value *graph_const_ints(Graph *g, const char *name, int n, const int64_t *v)
{
    return graph_const(g, name, type_vector(DT_I64, n),
                       arena_memdup(g->arena, v, (size_t)n * sizeof *v));
}

Value *graph_const_scalar(Graph *g, const char *name, DType dt, double x)
{
    void *p = arena_alloc(g->arena, 8);

    elem_set(dt, p, 0, x);
    return graph_const(g, name, type_scalar(dt), p);
}

void graph_add_input(Graph *g, Value *v)
{
    v->is_input = true;
    PUSH(g->arena, g->in, g->nin, g->capin, v);
}

void graph_add_output(Graph *g, Value *v)
{
    v->is_output = true;
    PUSH(g->arena, g->out, g->nout, g->capout, v);
}

static void add_use(Value *v, Node *n)
{
    if (v)
        PUSH(n->graph->arena, v->use, v->nuse, v->capuse, n);
}

static void drop_use(Value *v, const Node *n)
{
    if (!v)
        return;
    for (int i = v->nuse - 1; i >= 0; i--)  /* the last is the likely one */
        if (v->use[i] == n) {
            memmove(v->use + i, v->use + i + 1,
                    (size_t)(v->nuse - i - 1) * sizeof *v->use);
            v->nuse--;
            return;
        }
}

Node *node_new(Graph *g, Op op, const char *name, int nin, Value **in,
               int nout)
{
    const OpInfo *info = op_info(op);
    Type unknown = { DT_NONE, -1, { 0 } };
    Node *n = NEW(g->arena, Node);

    n->op = op;
    n->graph = g;
    n->name = name && *name ? arena_strdup(g->arena, name) : info->name;
    n->nin = nin;
    n->in = NEW_ARRAY(g->arena, Value *, nin);
    n->nout = nout;
    n->out = NEW_ARRAY(g->arena, Value *, nout);
    n->attr = arena_alloc(g->arena, (size_t)info->attr_bytes);
    attr_set_defaults(info, n->attr, g->arena);
    for (int i = 0; i < nin; i++) {
        n->in[i] = in[i];
        add_use(in[i], n);
    }
    for (int i = 0; i < nout; i++) {
        n->out[i] = graph_value(g, n->name, unknown);
        n->out[i]->def = n;
        n->out[i]->def_index = i;
    }
    return n;
}

static void link_before(Graph *g, Node *before, Node *n)
{
    n->next = before;
    n->prev = before ? before->prev : g->last;
    *(n->prev ? &n->prev->next : &g->first) = n;
    *(before ? &before->prev : &g->last) = n;
}

static void unlink_node(Node *n)
{
    Graph *g = n->graph;

    *(n->prev ? &n->prev->next : &g->first) = n->next;
    *(n->next ? &n->next->prev : &g->last) = n->prev;
    n->prev = n->next = NULL;
}

void graph_append(Graph *g, Node *n)
{
    link_before(g, NULL, n);
}

void graph_insert(Graph *g, Node *before, Node *n)
{
    link_before(g, before, n);
}

void node_move(Node *n, Node *before)
{
    unlink_node(n);
    link_before(n->graph, before, n);
}

void graph_remove(Graph *g, Node *n)
{
    (void)g;
    for (int i = 0; i < n->nin; i++)
        node_set_input(n, i, NULL);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            n->out[i]->def = NULL;
    unlink_node(n);
}

void node_set_input(Node *n, int i, Value *v)
{
    drop_use(n->in[i], n);
    n->in[i] = v;
    add_use(v, n);
}

void node_set_output(Node *n, int i, Value *v)
{
    if (n->out[i])
        n->out[i]->def = NULL;
    n->out[i] = v;
    if (v) {
        v->def = n;
        v->def_index = i;
    }
}

void value_replace(Graph *g, Value *from, Value *to)
{
    while (from->nuse) {
        Node *n = from->use[0];
        for (int i = 0; i < n->nin; i++)
            if (n->in[i] == from)
                node_set_input(n, i, to);
    }
    for (int i = 0; i < g->nout; i++)
        if (g->out[i] == from) {
            g->out[i] = to;
            to->is_output = true;
            if (!to->quant && from->type.dt == to->type.dt)
                to->quant = from->quant;
        }
    from->is_output = false;
}

void value_set_const(Value *v, const void *data)
{
    if (v->def)
        v->def->out[v->def_index] = NULL;
    v->def = NULL;
    v->data = data;
}

/* Regions around n become known when their first node is met. */
static void number_regions(Node *n, const Node *before, int *next)
{
    int fresh = 0, at;

    for (Region *r = n->region; r; r = r->parent) {
        const Region *b = before ? before->region : NULL;
        while (b && b != r)
            b = b->parent;
        if (!b) {
            r->first = n->index;
            fresh++;
        }
        r->last = n->index;
    }
    at = *next += fresh;
    for (Region *r = n->region; at > *next - fresh; r = r->parent)
        r->id = --at;           /* outer ones have the smaller numbers */
}

void graph_number(Graph *g)
{
    int i = 0, regions = 0;
    Node *bad;

    for EACH_NODE(n, g) {
        n->index = i++;
        number_regions(n, n->prev, &regions);
    }
    if (regions)
        regions_slide(g, &bad);     /* regions_verify asks why not */
}

static void keep(Graph *g, bool *kept, Value **list, int *n, Value *v)
{
    if (!v || kept[v->id])
        return;
    kept[v->id] = true;
    list[(*n)++] = v;
    map_put(g->names, v->name, v);
    v->nuse = 0;
    for (int l = 0; v->narrow && l < g->nlevel - 1; l++)
        keep(g, kept, list, n, v->narrow->at[l]);
}

/* Live values: inputs, states, then by node its operands and results. */
static int live_values(Graph *g, Value **list)
{
    bool *kept = NEW_ARRAY(g->scratch, bool, g->nvalue + 1);
    int n = 0;

    for (int i = 0; i < g->nin; i++)
        keep(g, kept, list, &n, g->in[i]);
    for (State *s = g->state; s; s = s->next)
        keep(g, kept, list, &n, s->in);
    for EACH_NODE(node, g) {
        for (int i = 0; i < node->nin; i++)
            keep(g, kept, list, &n, node->in[i]);
        for (int i = 0; i < node->nout; i++)
            keep(g, kept, list, &n, node->out[i]);
    }
    for (int i = 0; i < g->nout; i++)
        keep(g, kept, list, &n, g->out[i]);
    for (State *s = g->state; s; s = s->next)
        keep(g, kept, list, &n, s->out);
    return n;
}

void graph_tidy(Graph *g)
{
    Value **list = NEW_ARRAY(g->scratch, Value *, g->nvalue + 1);

    map_init(g->names, g->arena);
    g->next_id = 0;
    g->nvalue = live_values(g, list);
    for (int i = 0; i < g->nvalue; i++) {
        g->value[i] = list[i];
        list[i]->id = i;
    }
    for EACH_NODE(n, g)
        for (int i = 0; i < n->nin; i++)
            add_use(n->in[i], n);
    graph_number(g);
}

void graph_add_commits(Graph *g)
{
    for (State *s = g->state; s; s = s->next) {
        Node *n = node_new(g, OP_Identity, s->out->name, 1, &s->out, 1);
        n->out[0]->type = s->in->type;
        graph_append(g, n);
    }
}

bool node_is_commit(const Node *n)
{
    if (n->op != OP_Identity || n->out[0]->nuse || n->out[0]->is_output)
        return false;
    for (const State *s = n->graph->state; s; s = s->next)
        if (n->in[0] == s->out)
            return true;
    return false;
}

static int64_t *lean_field(const Node *n)
{
    const AttrInfo *a = attr_find(op_info(n->op), "lean");

    return a && a->kind == AK_int
               ? (int64_t *)(void *)((char *)n->attr + a->offset) : NULL;
}

int node_lean(const Node *n)
{
    return lean_field(n) ? (int)*lean_field(n) : 0;
}

void node_set_lean(Node *n, int lean)
{
    if (lean_field(n))
        *lean_field(n) = lean;
}

bool node_error(const Node *n, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return diag_error(n->graph->diag, "node '%s' (%s): %s", n->name,
                      op_name(n->op), text);
}
