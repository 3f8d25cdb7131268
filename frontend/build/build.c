/* build.c - from what a file says to a Graph with static shapes in ops of
 * the newest opset. Nodes are taken in order, upgraded or expanded, inferred
 * and folded one by one: an exporter's shape arithmetic is gone before it
 * is ever seen. See build.h for the words. */
#include "build.h"

#include "../../ir/region.h"

#include <string.h>

static bool check_opset(const Build *b, const ModelOpset *o)
{
    if (!domain_is(o->domain, ""))
        return true;
    if (o->version < 1)
        return diag_error(b->g->diag, "opset %lld does not exist",
                          (long long)o->version);
    if (o->version > OPSET_NEWEST)
        return diag_error(b->g->diag, "opset %lld is newer than %d, the "
                          "newest that is known", (long long)o->version,
                          OPSET_NEWEST);
    return true;
}

static bool check_opsets(const Build *b)
{
    for (int i = 0; i < b->m->nopset; i++)
        if (!check_opset(b, &b->m->opset[i]))
            return false;
    for (int i = 0; i < b->m->nfunction; i++)
        for (int k = 0; k < b->m->function[i].nopset; k++)
            if (!check_opset(b, &b->m->function[i].opset[k]))
                return false;
    return true;
}

static void reserve(Build *b, const char *name)
{
    if (name && *name && !map_get(b->g->names, name))
        map_put(b->g->names, name, &b->reserved);
}

/* So that nothing made up takes a name which the file uses later. */
static void reserve_names(Build *b)
{
    const ModelGraph *mg = &b->m->graph;

    for (int i = 0; i < mg->nin; i++)
        reserve(b, mg->in[i].name);
    for (int i = 0; i < mg->ninit; i++)
        reserve(b, mg->init[i].name);
    for (int i = 0; i < mg->nnode; i++)
        for (int k = 0; k < mg->node[i].nout; k++)
            reserve(b, mg->node[i].out[k]);
}

static bool build_order(Build *b, int **order, int *count)
{
    const ModelGraph *mg = &b->m->graph;
    const char **need = NEW_ARRAY(b->g->arena, const char *,
                                  mg->nout + mg->nnode + 1);
    int n = 0;

    for (int i = 0; i < mg->nout; i++)
        if (output_wanted(b, mg->out[i].name))
            need[n++] = mg->out[i].name;
    for (int i = 0; b->as_is && i < mg->nnode; i++)
        for (int k = 0; k < mg->node[i].nout; k++)
            if (*mg->node[i].out[k]) {
                need[n++] = mg->node[i].out[k];
                break;
            }
    return nodes_order(b, mg->node, mg->nnode, need, n, order, count);
}

static void unknown_op(Build *b, const ModelNode *n, const char *why)
{
    Op meant = domain_is(n->domain, "") && op_by_name(n->op) == OP_NONE
                   ? op_nearest(n->op) : OP_NONE;

    model_node_error(b, n, "%s", why);
    if (meant != OP_NONE)
        diag_hint(b->g->diag, "is %s meant?", op_name(meant));
    node_broken(b, n);
}

/* Every op that is not known, also those of nodes that could not be built. */
static void check_known(Build *b, const int *order, int count)
{
    const ModelGraph *mg = &b->m->graph;
    Buf why;

    for (int i = 0; i < count; i++) {
        const ModelNode *n = &mg->node[order[i]];
        buf_init(&why, b->g->arena);
        if (!function_find(&b->function, b->g->arena, n) &&
            !node_known(n, scope_opset(b->scope, n->domain), &why))
            unknown_op(b, n, why.s);
    }
}

static bool build_all(Build *b)
{
    const ModelGraph *mg = &b->m->graph;
    int *order = NULL, count = 0;

    declare_infos(b, mg->info, mg->ninfo);
    if (!check_opsets(b) || !outputs_check(b) || !constants_bind(b, mg) ||
        !inputs_build(b) || !build_order(b, &order, &count))
        return false;
    check_known(b, order, count);
    return walk_main(b, mg->node, order, count) && outputs_build(b);
}

static void describe(Build *b)
{
    Graph *g = b->g;

    g->name = b->m->graph.name && *b->m->graph.name ?
              arena_strdup(g->arena, b->m->graph.name) : "graph";
    g->opset = scope_opset(b->scope, "");
    memcpy(g->hash, b->m->hash, sizeof g->hash);
    if (b->m->facts.has_opset)
        g->opset = b->m->facts.opset;
    if (b->m->facts.source)
        g->source = b->m->facts.source;
    g->after = b->m->facts.after;
    g->overlap = b->m->facts.overlap;
}

bool model_build(const Model *m, const BuildOptions *opt, Graph *g)
{
    static const BuildOptions none;
    Build *b = NEW(g->arena, Build);

    b->m = m;
    b->opt = opt ? opt : &none;
    b->g = g;
    b->reserved.id = ID_RESERVED;
    b->absent.id = ID_ABSENT;
    b->broken.id = ID_BROKEN;
    b->broken.type.rank = -1;
    map_init(&b->symbol, g->arena);
    functions_map(m, g->arena, &b->function);
    b->scope = scope_push(b, NULL, m->opset, m->nopset);
    reserve_names(b);
    b->poison = graph_const_scalar(g, NULL, DT_F32, 0);
    b->as_is = scope_opset(b->scope, "mcufc") > 0;
    describe(b);
    if (!build_all(b) || !facts_build(b) || !regions_verify(g))
        return false;
    if (!b->as_is) {
        graph_prune(g);
        quant_forget_inner(g);
        quant_mark_boundary(g);
    }
    graph_tidy(g);
    return true;
}
