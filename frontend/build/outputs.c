/* outputs.c - graph outputs: which of them are wanted, one computed value
 * for each, and nothing in the graph that none of them needs. */
#include "build.h"

#include <string.h>

bool output_wanted(const Build *b, const char *name)
{
    const Strings *only = &b->opt->outputs;

    for (int i = 0; i < only->n; i++)
        if (!strcmp(only->v[i], name))
            return true;
    return only->n == 0;
}

static const ModelInfo *declared_output(const Build *b, const char *name)
{
    const ModelGraph *mg = &b->m->graph;

    for (int i = 0; i < mg->nout; i++)
        if (!strcmp(mg->out[i].name, name))
            return &mg->out[i];
    return NULL;
}

bool outputs_check(const Build *b)
{
    const ModelGraph *mg = &b->m->graph;
    Diag *diag = b->g->diag;
    Buf names;

    if (!mg->nout)
        return diag_error(diag, "the model has no outputs");
    for (int i = 0; i < b->opt->outputs.n; i++) {
        if (declared_output(b, b->opt->outputs.v[i]))
            continue;
        diag_error(diag, "--outputs: the model has no output '%s'",
                   b->opt->outputs.v[i]);
        buf_init(&names, b->g->scratch);
        for (int k = 0; k < mg->nout; k++)
            buf_printf(&names, " %s", mg->out[k].name);
        diag_hint(diag, "its outputs:%s", names.s);
        return false;
    }
    return true;
}

/* The declared shape of an output is what the model's users rely on. */
static void compare_declared(Build *b, const ModelInfo *info, const Value *v)
{
    Type t;
    Buf said, is;

    if (!info_type(b, info, &t) || type_equal(&t, &v->type))
        return;
    buf_init(&said, b->g->scratch);
    buf_init(&is, b->g->scratch);
    type_print(&said, &t);
    type_print(&is, &v->type);
    diag_warn(b->g->diag, "output '%s' is declared as %s and is %s",
              info->name, said.s, is.s);
}

/* An input or a constant that is an output too. */
static bool compare_quant(Build *b, const ModelInfo *info, Value *v)
{
    if (!info->quant || quant_equal(info->quant, v->quant))
        return true;
    if (v->quant || v->type.dt != info->dt)
        return diag_error(b->g->diag, "output '%s' is declared with another "
                          "quantization than it has", info->name);
    return quant_set(b, v, info->quant);
}

/* An output that is an input, a constant or an output already: a copy. */
static Value *copy_of(Build *b, Value *v, const char *name)
{
    Graph *g = b->g;
    Node *n = node_new(g, OP_Identity, name, 1, &v, 1);

    graph_append(g, n);
    n->out[0]->type = v->type;
    n->out[0]->label = arena_strdup(g->arena, name);
    return n->out[0];
}

/* Reports and accessors know an output by the model's name for it: an inner
 * value that has it gets another. */
static void take_name(Build *b, Value *v, const char *name)
{
    Value *holder = graph_find(b->g, name);

    if (holder && holder != v && !holder->is_input && !holder->is_output) {
        holder->name = graph_fresh_name(b->g, name);
        map_put(b->g->names, holder->name, holder);
        holder = NULL;
    }
    if (!holder) {
        v->name = arena_strdup(b->g->arena, name);
        map_put(b->g->names, v->name, v);
    }
}

static bool add_output(Build *b, const ModelInfo *info)
{
    Value *v = scope_find(b->scope, info->name);

    if (info->problem)
        return diag_error(b->g->diag, "output '%s': %s", info->name,
                          info->problem);
    if (!v)
        return diag_error(b->g->diag, "output '%s'%s", info->name,
                          scope_missing(b->scope, info->name));
    if (v->id < 0)
        return diag_error(b->g->diag, "output '%s' is a sequence",
                          info->name);
    if (!b->as_is && (v->is_input || v->data || v->is_output))
        v = copy_of(b, v, info->name);
    take_name(b, v, info->name);
    compare_declared(b, info, v);
    graph_add_output(b->g, v);
    return compare_quant(b, info, v);
}

bool outputs_build(Build *b)
{
    const ModelGraph *mg = &b->m->graph;

    for (int i = 0; i < mg->nout; i++)
        if (output_wanted(b, mg->out[i].name) &&
            !add_output(b, &b->out[i]))
            return false;
    return true;
}

static bool is_dead(const Node *n)
{
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && (n->out[i]->nuse || n->out[i]->is_output))
            return false;
    return true;
}

/* Results that are optional and unused need not be made. */
static void drop_unused_results(Node *n)
{
    for (int i = op_info(n->op)->min_out; i < n->nout; i++)
        if (n->out[i] && !n->out[i]->nuse && !n->out[i]->is_output)
            node_set_output(n, i, NULL);
    while (op_info(n->op)->max_out >= 0 &&      /* a Split counts them */
           n->nout > op_info(n->op)->min_out && !n->out[n->nout - 1])
        n->nout--;
}

void graph_prune(Graph *g)
{
    for (Node *node = g->last, *prev; node; node = prev) {
        prev = node->prev;
        if (is_dead(node))
            graph_remove(g, node);
        else
            drop_unused_results(node);
    }
}
