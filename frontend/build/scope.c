/* scope.c - names of the file and the values they stand for. A subgraph sees
 * the names around it; a function body sees only its parameters. */
#include "build.h"

#include <string.h>

const char *domain_canonical(const char *domain)
{
    if (!domain || !strcmp(domain, "ai.onnx"))
        return "";
    return domain;
}

bool domain_is(const char *domain, const char *canonical)
{
    return !strcmp(domain_canonical(domain), canonical);
}

Scope *scope_push(Build *b, Scope *up, const ModelOpset *opset, int nopset)
{
    Scope *s = NEW(b->g->arena, Scope);

    s->up = up;
    s->opset = opset;
    s->nopset = nopset;
    s->prefix = "";
    map_init(&s->value, b->g->arena);
    map_init(&s->info, b->g->arena);
    map_init(&s->problem, b->g->arena);
    if (up) {
        s->fn = up->fn;
        s->attr = up->attr;
        s->nattr = up->nattr;
        s->prefix = up->prefix;
    }
    return s;
}

Value *scope_find(const Scope *s, const char *name)
{
    for (; s; s = s->up) {
        Value *v = map_get(&s->value, name);
        if (v)
            return v;
    }
    return NULL;
}

/* Why scope_find has nothing: goes behind "input 'x'". */
const char *scope_missing(const Scope *s, const char *name)
{
    for (; s; s = s->up) {
        const char *why = map_get(&s->problem, name);
        if (why)
            return why;
    }
    return " is not defined";
}

/* Declarations are those of the graph itself: an inner name is its own. */
const ModelInfo *scope_info(const Scope *s, const char *name)
{
    return map_get(&s->info, name);
}

void scope_bind(Scope *s, const char *name, Value *v)
{
    map_put(&s->value, name, v);
}

int64_t scope_opset(const Scope *s, const char *domain)
{
    for (int i = 0; i < s->nopset; i++)
        if (domain_is(s->opset[i].domain, domain_canonical(domain)))
            return s->opset[i].version;
    return 0;
}

void value_rename(Build *b, Value *v, const char *name)
{
    Graph *g = b->g;
    Value *holder = map_get(g->names, name);

    /* taken by another value that is in use: v keeps what it has */
    if (!*name || (holder && holder != v && holder->id >= 0))
        return;
    v->name = arena_strdup(g->arena, name);
    map_put(g->names, v->name, v);
}
