/* hints.c - the shape of a value whose size depends on run-time data, when
 * the model declares it only further down: of what an output is made of
 * element by element, together with scalars, the shape is the output's. */
#include "build.h"

#include <string.h>

/* Steps that all searches of a build may take together. */
enum { SEARCH_STEPS = 4000000 };

typedef struct Follow {
    Build *b;
    Map mark;                   /* name -> same or &scalar */
    char same, scalar;
    int rank;                   /* highest of a scalar operand */
} Follow;

static bool is_elementwise(const ModelNode *n, int *count)
{
    Op op = op_by_name(n->op);

    if (!domain_is(n->domain, ""))
        return false;
    *count = n->nin;
    if (!strcmp(n->op, "CastLike"))
        *count = n->nin ? 1 : 0;        /* the other says the type alone */
    else if (op != OP_Identity && !op_has(op, T_MAP))
        return false;
    return n->nout == 1 && *count > 0;
}

static const char *mark_of(Follow *f, const char *name)
{
    const char *m = map_get(&f->mark, name);
    const Value *v;

    if (m)
        return m;
    v = scope_find(f->b->scope, name);
    if (!v || v->id < 0 || v->type.rank < 0 || type_elems(&v->type) != 1)
        return NULL;
    if (v->type.rank > f->rank)
        f->rank = v->type.rank;
    return &f->scalar;
}

static void follow_node(Follow *f, const ModelNode *n)
{
    const char *mark = &f->scalar;
    int count;

    if (!is_elementwise(n, &count))
        return;
    for (int i = 0; i < count; i++) {
        const char *m = *n->in[i] ? mark_of(f, n->in[i]) : &f->scalar;
        if (!m)
            return;
        if (m == &f->same)
            mark = m;
    }
    map_put(&f->mark, n->out[0], (void *)(uintptr_t)mark);
}

static bool from_output(Follow *f, const ModelInfo *out, Type *t)
{
    if (map_get(&f->mark, out->name) != &f->same)
        return false;
    info_type(f->b, out, t);
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] < 0)
            return false;
    return t->rank >= 0 && (f->rank == 0 || f->rank < t->rank);
}

bool shape_hint(Build *b, const char *name, Type *t)
{
    const ModelGraph *mg = &b->m->graph;
    Follow f = { .b = b };

    b->search += b->norder - b->at;
    if (b->scope->up || b->scope->fn || b->search > SEARCH_STEPS)
        return false;
    map_init(&f.mark, b->g->arena);
    map_put(&f.mark, name, &f.same);
    for (int i = b->at + 1; i < b->norder; i++)
        follow_node(&f, &mg->node[b->order[i]]);
    for (int i = 0; i < mg->nout; i++)
        if (from_output(&f, &b->out[i], t))
            return true;
    return false;
}
