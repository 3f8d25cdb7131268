/* walk.c - the bodies of graphs, functions and branches: their nodes in
 * order, with the names that each of them sees. */
#include "build.h"

#include <string.h>

bool walk_nodes(Build *b, const ModelNode *node, const int *order, int n)
{
    for (int i = 0; i < n; i++)
        if (!node_build(b, &node[order[i]]))
            return false;
    return true;
}

/* What the node made before it failed has no readers and no types. */
static void drop_nodes(Build *b, const Node *last)
{
    while (b->g->last != last)
        graph_remove(b->g, b->g->last);
}

void node_broken(Build *b, const ModelNode *n)
{
    b->nbroken++;
    for (int i = 0; i < n->nout; i++)
        if (*n->out[i])
            scope_bind(b->scope, n->out[i], &b->broken);
}

static bool is_broken(const Build *b, const ModelNode *n)
{
    for (int i = 0; i < n->nout; i++)
        if (*n->out[i])
            return scope_find(b->scope, n->out[i]) == &b->broken;
    return false;
}

/* A node that fails costs only what depends on it: the others are still
 * checked, so that one run reports all that is wrong. */
bool walk_main(Build *b, const ModelNode *node, const int *order, int n)
{
    Scope *scope = b->scope;
    int said = 0;

    b->order = order;
    b->norder = n;
    for (int i = 0; i < n && said < MAX_BROKEN; i++) {
        const ModelNode *mn = &node[order[i]];
        const Node *last = b->g->last;
        int errors = b->g->diag->errors;
        b->at = i;
        if (is_broken(b, mn) || node_build(b, mn))
            continue;
        said += b->g->diag->errors > errors;
        b->failed = false;
        b->scope = scope;
        b->depth = 0;
        drop_nodes(b, last);
        node_broken(b, mn);
    }
    return !b->nbroken;
}

/* Data from a file lies where it lies; kernels of ours want it aligned. */
static const void *aligned_data(Build *b, const ModelTensor *t)
{
    size_t bytes = (size_t)type_bytes(&t->type);

    if (!bytes || (uintptr_t)t->data % 8 == 0)
        return t->data;
    return arena_memdup(b->g->arena, t->data, bytes);
}

Value *tensor_const(Build *b, const ModelTensor *t, const char *name)
{
    Value *v = graph_const(b->g, NULL, t->type, aligned_data(b, t));

    if (name && *name)
        value_rename(b, v, name);
    v->quant = t->quant;
    return v;
}

bool constants_bind(Build *b, const ModelGraph *mg)
{
    for (int i = 0; i < mg->ninit; i++) {
        const ModelTensor *t = &mg->init[i];
        if (map_get(&b->scope->value, t->name))
            return diag_error(b->g->diag, "initializer '%s' is defined twice",
                              t->name);
        if (t->problem)         /* an error where it is used */
            map_put(&b->scope->problem, t->name,
                    arena_printf(b->g->arena, ": %s", t->problem));
        else
            scope_bind(b->scope, t->name, tensor_const(b, t, t->name));
    }
    return true;
}

void declare_infos(Build *b, const ModelInfo *info, int n)
{
    for (int i = 0; i < n; i++)
        map_put(&b->scope->info, info[i].name, (void *)(uintptr_t)&info[i]);
}

static bool deeper(Build *b, const ModelNode *n)
{
    if (b->depth >= MAX_DEPTH)
        return model_node_error(b, n, "graphs and functions nested more than "
                                "%d deep", MAX_DEPTH);
    b->depth++;
    return true;
}

static const char *function_key(Arena *a, const char *domain,
                                const char *name, const char *overload)
{
    return arena_printf(a, "%s:%s:%s", domain_canonical(domain), name,
                        overload ? overload : "");
}

void functions_map(const Model *m, Arena *a, Map *map)
{
    map_init(map, a);
    for (int i = 0; i < m->nfunction; i++) {
        const ModelFunction *f = &m->function[i];
        map_put(map, function_key(a, f->domain, f->name, f->overload),
                (void *)(uintptr_t)f);
    }
}

const ModelFunction *function_find(const Map *map, Arena *a,
                                   const ModelNode *n)
{
    if (!map->n)
        return NULL;
    return map_get(map, function_key(a, n->domain, n->op, n->overload));
}

static bool is_recursive(const Scope *s, const ModelFunction *f)
{
    for (; s; s = s->caller ? s->caller : s->up)
        if (s->fn == f)
            return true;
    return false;
}

static bool has_attr(const ModelFunction *f, const char *name)
{
    for (int i = 0; i < f->nattr; i++)
        if (!strcmp(f->attr[i], name))
            return true;
    for (int i = 0; i < f->ndefault; i++)
        if (!strcmp(f->fallback[i].name, name))
            return true;
    return false;
}

/* Attributes of the call, then defaults for what it leaves out. */
static bool call_attrs(Build *b, Draft *d, const ModelFunction *f, Scope *s)
{
    ModelAttr *a = NEW_ARRAY(b->g->arena, ModelAttr, d->nattr + f->ndefault);
    int n = 0;

    for (int i = 0; i < d->nattr; i++) {
        if (!has_attr(f, d->attr[i].name))
            return draft_error(b, d, "function has no attribute '%s'",
                               d->attr[i].name);
        a[n++] = d->attr[i];
    }
    for (int i = 0; i < f->ndefault; i++)
        if (!draft_attr(d, f->fallback[i].name))
            a[n++] = f->fallback[i];
    s->attr = a;
    s->nattr = n;
    return true;
}

static bool bind_params(Build *b, Draft *d, const ModelFunction *f, Scope *s)
{
    if (d->nin > f->nin)
        return draft_error(b, d, "has %d inputs, the function takes %d",
                           d->nin, f->nin);
    if (d->nout > f->nout)
        return draft_error(b, d, "has %d outputs, the function gives %d",
                           d->nout, f->nout);
    for (int i = 0; i < f->nin; i++) {
        Value *v = i < d->nin ? d->in[i] : NULL;
        if (map_get(&s->value, f->in[i]))
            return draft_error(b, d, "function has two parameters '%s'",
                               f->in[i]);
        scope_bind(s, f->in[i], v ? v : &b->absent);
    }
    return true;
}

static bool inline_body(Build *b, Draft *d, const ModelFunction *f)
{
    const char **need = NEW_ARRAY(b->g->arena, const char *, d->nout + 1);
    int *order, count, nneed = 0;

    for (int i = 0; i < d->nout; i++)
        if (d->want[i])
            need[nneed++] = f->out[i];
    declare_infos(b, f->info, f->ninfo);
    if (!nodes_order(b, f->node, f->nnode, need, nneed, &order, &count) ||
        !walk_nodes(b, f->node, order, count))
        return false;
    for (int i = 0; i < d->nout; i++) {
        if (!d->want[i])
            continue;
        d->out[i] = scope_find(b->scope, f->out[i]);
        if (!d->out[i] || d->out[i] == &b->absent)
            return draft_error(b, d, "function does not define its output "
                               "'%s'", f->out[i]);
    }
    return true;
}

bool function_inline(Build *b, Draft *d, const ModelFunction *f)
{
    Scope *outer = b->scope;
    Scope *s = scope_push(b, NULL, f->nopset ? f->opset : outer->opset,
                          f->nopset ? f->nopset : outer->nopset);
    bool ok;

    if (is_recursive(outer, f))
        return draft_error(b, d, "function calls itself");
    if (!deeper(b, d->m))
        return false;
    s->fn = f;
    s->caller = outer;
    s->prefix = arena_printf(b->g->arena, "%s/", d->name);
    b->scope = s;
    ok = call_attrs(b, d, f, s) && bind_params(b, d, f, s) &&
         inline_body(b, d, f);
    b->scope = outer;
    b->depth--;
    return ok;
}

static bool bind_body_inputs(Build *b, const ModelGraph *mg, Value **in,
                             int nin)
{
    for (int i = 0; i < mg->nin && i < nin; i++)
        scope_bind(b->scope, mg->in[i].name, in[i]);
    return true;
}

static bool body_results(Build *b, const ModelGraph *mg, Value **out, int n)
{
    for (int i = 0; i < n; i++) {
        out[i] = scope_find(b->scope, mg->out[i].name);
        if (!out[i])
            return draft_error(b, b->draft, "body does not define its output "
                               "'%s'", mg->out[i].name);
        if (out[i] == &b->broken)
            return false;
    }
    return true;
}

static bool body_budget(Build *b, const ModelGraph *mg)
{
    b->visited += mg->nnode + mg->ninit;
    if (b->visited > MAX_NODES)
        return draft_error(b, b->draft, "bodies of more than %d nodes in all",
                           MAX_NODES);
    return deeper(b, b->draft->m);
}

bool walk_body(Build *b, const ModelGraph *mg, const char *tag, Value **in,
               int nin, Value **out, int nout)
{
    Scope *outer = b->scope;
    const char **need = NEW_ARRAY(b->g->arena, const char *, mg->nout + 1);
    int *order, count;
    bool ok;

    if (mg->nout != nout || mg->nin != nin)
        return draft_error(b, b->draft, "the body has %d inputs and %d "
                           "outputs, must have %d and %d", mg->nin, mg->nout,
                           nin, nout);
    if (!body_budget(b, mg))
        return false;
    b->scope = scope_push(b, outer, outer->opset, outer->nopset);
    b->scope->prefix = arena_printf(b->g->arena, "%s/%s/", b->draft->name,
                                    tag);
    declare_infos(b, mg->info, mg->ninfo);
    declare_infos(b, mg->out, mg->nout);
    for (int i = 0; i < nout; i++)
        need[i] = mg->out[i].name;
    ok = bind_body_inputs(b, mg, in, nin) && constants_bind(b, mg) &&
         nodes_order(b, mg->node, mg->nnode, need, nout, &order, &count) &&
         walk_nodes(b, mg->node, order, count) &&
         body_results(b, mg, out, nout);
    b->scope = outer;
    b->depth--;
    return ok;
}
