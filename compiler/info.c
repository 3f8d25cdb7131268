/* info.c - --info: what a model has, without compiling it. */
#include "compile.h"

#include <string.h>

#include "../support/map.h"

static const ModelTensor *initializer(const ModelGraph *g, const char *name)
{
    for (int i = 0; i < g->ninit; i++)
        if (!strcmp(g->init[i].name, name))
            return g->init[i].problem ? NULL : &g->init[i];
    return NULL;
}

/* By the operands of n, a QuantizeLinear or DequantizeLinear of one scale. */
static const Quant *quant_of_node(Compile *c, const ModelNode *n,
                                  const ModelInfo *v)
{
    const ModelGraph *g = &c->model.graph;
    const ModelTensor *s = n->nin > 1 ? initializer(g, n->in[1]) : NULL;
    const ModelTensor *z = n->nin > 2 ? initializer(g, n->in[2]) : NULL;
    Value scale = { 0 }, zero = { 0 };
    Type codes = type_scalar(v->dt);

    if (!s || type_elems(&s->type) != 1 || (n->nin > 2 && !z))
        return NULL;
    scale.type = s->type;
    scale.data = s->data;
    if (z) {
        zero.type = z->type;
        zero.data = z->data;
    }
    return quant_of_operands(c->arena, &scale, z ? &zero : NULL, 0, &codes);
}

/* As the text says, or as every reader or the maker does. */
static const Quant *boundary_quant(Compile *c, const ModelInfo *v, bool in)
{
    const ModelGraph *g = &c->model.graph;
    const Quant *all = v->quant;

    for (int i = 0; i < g->nnode && !v->quant; i++) {
        const ModelNode *n = &g->node[i];
        const Quant *q = NULL;
        bool reads = false;
        for (int k = 0; k < (in ? n->nin : n->nout); k++)
            reads = reads || !strcmp(in ? n->in[k] : n->out[k], v->name);
        if (!reads)
            continue;
        if (!strcmp(n->op, in ? "DequantizeLinear" : "QuantizeLinear"))
            q = quant_of_node(c, n, v);
        if (!q || (all && !quant_equal(all, q)))
            return NULL;
        all = q;
    }
    return all;
}

static void print_quant(Compile *c, const Quant *q)
{
    Buf b;

    buf_init(&b, c->arena);
    if (q) {
        buf_putc(&b, ' ');
        quant_print(&b, q);
    }
    puts(b.s ? b.s : "");
}

static void print_ios(Compile *c, const char *kind, const ModelInfo *list,
                      int n)
{
    for (int i = 0; i < n; i++) {
        const ModelInfo *v = &list[i];
        printf("%-7s %s: ", kind, v->name);
        if (v->problem) {
            printf("%s\n", v->problem);
            continue;
        }
        printf("%s", dtype_name(v->dt));
        for (int k = 0; k < v->rank; k++) {
            const ModelDim *d = &v->dim[k];
            fputs(k ? "," : "[", stdout);
            if (d->value >= 0)
                printf("%lld", (long long)d->value);
            else
                fputs(d->symbol ? d->symbol : "?", stdout);
        }
        fputs(v->rank > 0 ? "]" : v->rank == 0 ? "[]" : "", stdout);
        print_quant(c, boundary_quant(c, v, *kind == 'i'));
    }
}

static void print_ops(Compile *c)
{
    const ModelGraph *g = &c->model.graph;
    Map seen;

    map_init(&seen, c->arena);
    fputs("ops    ", stdout);
    for (int i = 0; i < g->nnode; i++) {
        const ModelNode *n = &g->node[i];
        const char *key = *n->domain
            ? arena_printf(c->arena, "%s.%s", n->domain, n->op) : n->op;
        int count = 0;
        if (map_put(&seen, key, c))
            continue;
        for (int k = i; k < g->nnode; k++)
            count += !strcmp(g->node[k].op, n->op) &&
                     !strcmp(g->node[k].domain, n->domain);
        printf(" %s x%d", key, count);
    }
    putchar('\n');
}

int print_info(Compile *c)
{
    const Model *m = &c->model;
    int64_t weights = 0;
    Buf lines;
    int bad;

    printf("model   %s, IR version %lld, opset", m->graph.name,
           (long long)m->ir_version);
    for (int i = 0; i < m->nopset; i++)
        printf(" %s%s%lld", m->opset[i].domain,
               *m->opset[i].domain ? ":" : "",
               (long long)m->opset[i].version);
    putchar('\n');
    print_ios(c, "input", m->graph.in, m->graph.nin);
    print_ios(c, "output", m->graph.out, m->graph.nout);
    for (int i = 0; i < m->graph.ninit; i++)
        weights += type_bytes(&m->graph.init[i].type);
    printf("nodes   %d, %d initializers of %lld bytes\n", m->graph.nnode,
           m->graph.ninit, (long long)weights);
    print_ops(c);
    buf_init(&lines, c->arena);
    bad = model_unsupported(m, c->arena, &lines);
    if (!bad)
        return EXIT_OK;
    printf("%d nodes are not supported:\n%s", bad, lines.s);
    return EXIT_BAD;
}
