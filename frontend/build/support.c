/* support.c - what can be compiled and what cannot: for messages, for
 * --info and for doc/ops.md. */
#include "build.h"

#include <string.h>

static const char *const known_domains[] = {
    "", "com.microsoft", "ai.onnx.preview.training", "ai.onnx.preview",
    "mcufc",
};

static bool domain_known(const char *domain)
{
    for (size_t i = 0; i < sizeof known_domains / sizeof *known_domains; i++)
        if (domain_is(domain, known_domains[i]))
            return true;
    return false;
}

/* Is there an op or an expansion for it? Otherwise says why not. */
bool node_known(const ModelNode *n, int64_t version, Buf *why)
{
    const char *refused = refuse_find(n->domain, n->op);

    if (expand_find(n->domain, n->op))
        return true;
    if (domain_is(n->domain, "mcufc") && op_by_name(n->op) != OP_NONE)
        return true;
    if (refused)
        buf_puts(why, refused);
    else if (!domain_known(n->domain))
        buf_printf(why, "domain '%s' is not supported", n->domain);
    else if (!domain_is(n->domain, "") || op_by_name(n->op) == OP_NONE)
        buf_puts(why, "is not supported");
    else if (!version)
        buf_puts(why, "the model does not import an opset");
    else
        return true;
    return false;
}

typedef struct Search {
    Arena *arena;
    Buf *lines;
    Map function, seen;
    int count, depth;
} Search;

static void search_nodes(Search *s, const ModelNode *node, int n,
                         const ModelOpset *opset, int nopset);

static void search_function(Search *s, const ModelFunction *f,
                            const ModelOpset *opset, int nopset)
{
    const char *key = arena_printf(s->arena, "%p", (const void *)f);

    if (map_put(&s->seen, key, s))
        return;
    search_nodes(s, f->node, f->nnode, f->nopset ? f->opset : opset,
                 f->nopset ? f->nopset : nopset);
}

static void search_node(Search *s, const ModelNode *n,
                        const ModelOpset *opset, int nopset)
{
    const ModelFunction *f = function_find(&s->function, s->arena, n);
    Scope scope = { .opset = opset, .nopset = nopset };
    Buf why;

    for (int i = 0; i < n->nattr; i++)
        if (n->attr[i].g)
            search_nodes(s, n->attr[i].g->node, n->attr[i].g->nnode, opset,
                         nopset);
    if (f) {
        search_function(s, f, opset, nopset);
        return;
    }
    buf_init(&why, s->arena);
    if (node_known(n, scope_opset(&scope, n->domain), &why))
        return;
    s->count++;
    buf_printf(s->lines, "node '%s' (%s): %s\n",
               model_node_name(s->arena, n), n->op, why.s);
}

static void search_nodes(Search *s, const ModelNode *node, int n,
                         const ModelOpset *opset, int nopset)
{
    if (s->depth >= MAX_DEPTH)
        return;
    s->depth++;
    for (int i = 0; i < n; i++)
        search_node(s, &node[i], opset, nopset);
    s->depth--;
}

int model_unsupported(const Model *m, Arena *arena, Buf *lines)
{
    Search s = { .arena = arena, .lines = lines };

    functions_map(m, arena, &s.function);
    map_init(&s.seen, arena);
    search_nodes(&s, m->graph.node, m->graph.nnode, m->opset, m->nopset);
    return s.count;
}

static void doc_count(Buf *b, int min, int max)
{
    if (max < 0)
        buf_printf(b, " %d+ |", min);
    else if (min == max)
        buf_printf(b, " %d |", min);
    else
        buf_printf(b, " %d-%d |", min, max);
}

static bool is_act(const char *name)
{
    return !strcmp(name, "act") || !strcmp(name, "act_alpha") ||
           !strcmp(name, "act_beta");
}

static void doc_op(Buf *b, const OpInfo *op)
{
    bool comma = false;

    buf_printf(b, "| %s |", op->name);
    doc_count(b, op->min_in, op->max_in);
    doc_count(b, op->min_out, op->max_out);
    for (int i = 0; i < op->nattr; i++) {
        if (is_act(op->attr[i].name))
            continue;
        buf_printf(b, "%s %s", comma ? "," : "", op->attr[i].name);
        comma = true;
    }
    buf_puts(b, " |\n");
}

static void doc_name(Buf *b, const char *domain, const char *op)
{
    buf_printf(b, "%s%s%s", domain, *domain ? "." : "", op);
}

static void doc_compiled(Buf *b)
{
    buf_printf(b, "# Operators\n\nModels of opset 1 to %d. Older forms are "
               "turned into the newest while the model is\nread; the "
               "operands, results and attributes below are those of the "
               "newest form.\n\n## Compiled\n\n"
               "| operator | operands | results | attributes |\n"
               "|---|---|---|---|\n", OPSET_NEWEST);
    for (int i = 1; i < OP_COUNT; i++)
        if (!expand_find("", op_name((Op)i)))
            doc_op(b, op_info((Op)i));
}

static void doc_expanded(Buf *b)
{
    buf_puts(b, "\n## Replaced by the operators above\n\n");
    for (int i = 0; expand_list(i); i++) {
        buf_puts(b, i ? ",\n" : "");
        doc_name(b, expand_list(i)[0], expand_list(i)[1]);
    }
    buf_puts(b, ".\n\nFunctions that the model itself defines are inlined.\n");
}

static void doc_refused(Buf *b)
{
    buf_puts(b, "\n## Refused\n\n| operator | why |\n|---|---|\n");
    for (int i = 0; refuse_list(i); i++) {
        buf_puts(b, "| ");
        doc_name(b, refuse_list(i)[0], refuse_list(i)[1]);
        buf_printf(b, " | %s |\n", refuse_list(i)[2]);
    }
    buf_puts(b, "\nWhatever is not listed is refused too. `mcufc --info` "
             "names every node of a model that is.\n");
}

void model_ops_doc(Buf *b)
{
    doc_compiled(b);
    doc_expanded(b);
    doc_refused(b);
}
