/* eval.c - the reference interpreter: runs nodes in schedule order, frees
 * what nobody reads any more, folds constants. The ops themselves are in
 * ops/, loops in eval_loops.c. It is what --run, folding and --verify share. */
#include "region.h"

#include <stdlib.h>
#include <string.h>

bool node_eval(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    return op_info(n->op)->eval(n, in, out, scratch, diag);
}

static void *tensor_room(Arena *a, const Type *t)
{
    return arena_alloc(a, (size_t)type_bytes(t) + 16);
}

/* bytes that folding made, elements and multiplications it took */
enum { FOLD_BYTES = 1 << 30, FOLD_WORK = 2000000000 };

static int64_t fold_bytes(const Node *n)
{
    int64_t sum = 0;

    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            sum += type_bytes(&n->out[i]->type);
    return sum;
}

static int64_t fold_work(const Node *n)
{
    int64_t sum = node_macs(n);

    for (int i = 0; i < n->nin && sum < FOLD_WORK; i++)
        if (n->in[i])
            sum += type_elems(&n->in[i]->type);
    for (int i = 0; i < n->nout && sum < FOLD_WORK; i++)
        if (n->out[i])
            sum += type_elems(&n->out[i]->type);
    return sum;
}

bool node_fold_affordable(const Graph *g, const Node *n)
{
    return op_has(n->op, T_VIEW) ||
           (fold_bytes(n) <= FOLD_BYTES - g->fold_bytes &&
            fold_work(n) <= FOLD_WORK - g->fold_work);
}

/* A view of a constant is the same bytes. */
static bool fold_view(Node *n)
{
    if (!op_has(n->op, T_VIEW) || n->nout != 1 || !n->out[0])
        return false;
    value_set_const(n->out[0], n->in[0]->data);
    return true;
}

bool node_fold(Graph *g, Node *n)
{
    Tensor *t = NEW_ARRAY(g->scratch, Tensor, n->nin + n->nout);
    const Tensor **in = NEW_ARRAY(g->scratch, const Tensor *, n->nin);
    Tensor **out = NEW_ARRAY(g->scratch, Tensor *, n->nout);

    for (int i = 0; i < n->nin; i++) {
        if (!n->in[i])
            continue;
        if (!value_is_const(n->in[i]))
            return true;
        t[i].type = n->in[i]->type;
        t[i].data = (void *)(uintptr_t)n->in[i]->data;
        in[i] = &t[i];
    }
    if (fold_view(n))
        return true;
    g->fold_bytes += fold_bytes(n);
    g->fold_work += fold_work(n);
    for (int i = 0; i < n->nout; i++) {
        Tensor *o = &t[n->nin + i];
        if (!n->out[i])
            continue;
        o->type = n->out[i]->type;
        o->data = tensor_room(g->arena, &o->type);
        out[i] = o;
    }
    if (!node_eval(n, in, out, g->scratch, g->diag))
        return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            value_set_const(n->out[i], out[i]->data);
    return true;
}

typedef struct Run {
    Graph *g;
    Tensor *tensor;             /* by value id; data NULL when not live */
    int *left;                  /* readers still to come */
    Arena *scratch;
    EvalHook *hook;
    void *user;
} Run;

/* A node's tensors. */
typedef struct Slots {
    const Tensor **in;
    Tensor **out;
} Slots;

static Slots slots_of(const Run *r, const Node *n)
{
    Slots s = { NEW_ARRAY(r->scratch, const Tensor *, n->nin + 1),
                NEW_ARRAY(r->scratch, Tensor *, n->nout + 1) };

    for (int i = 0; i < n->nin; i++)
        s.in[i] = n->in[i] ? &r->tensor[n->in[i]->id] : NULL;
    for (int i = 0; i < n->nout; i++)
        s.out[i] = n->out[i] ? &r->tensor[n->out[i]->id] : NULL;
    return s;
}

static bool make_results(Run *r, const Node *n)
{
    for (int i = 0; i < n->nout; i++) {
        Tensor *t = n->out[i] ? &r->tensor[n->out[i]->id] : NULL;
        if (!t)
            continue;
        t->type = n->out[i]->type;
        t->data = calloc(1, (size_t)type_bytes(&t->type) + 16);
        if (!t->data)
            return node_error(n, "out of memory for %lld bytes",
                              (long long)type_bytes(&t->type));
    }
    return true;
}

/* The node at n, or the loops that begin there; *n is then the one behind. */
static bool run_step(Run *r, Node **n)
{
    Node *first = *n;
    Slots s;

    if (!first->region) {
        *n = first->next;
        s = slots_of(r, first);
        return make_results(r, first) &&
               node_eval(first, s.in, s.out, r->scratch, r->g->diag);
    }
    for (; *n && region_at((*n)->region, 0) == region_at(first->region, 0);
         *n = (*n)->next)
        if (!make_results(r, *n))
            return false;
    return loops_eval(first, r->tensor, r->scratch, r->g->diag);
}

static void release(Run *r, const Value *v)
{
    Tensor *t = &r->tensor[v->id];

    if (v->def && !v->is_output && r->left[v->id] == 0) {
        free(t->data);
        t->data = NULL;
    }
}

/* Of a node that has run. */
static void finish_node(Run *r, const Node *n)
{
    if (r->hook) {
        Slots s = slots_of(r, n);
        r->hook(r->user, n, s.in, s.out);
    }
    for (int i = 0; i < n->nin; i++)
        if (n->in[i]) {
            r->left[n->in[i]->id]--;
            release(r, n->in[i]);
        }
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            release(r, n->out[i]);
}

static bool run_all(Run *r)
{
    Node *behind = r->g->first;

    for (Node *n = behind; behind; n = behind) {
        if (!run_step(r, &behind))
            return false;
        for (; n != behind; n = n->next)
            finish_node(r, n);
        arena_reset(r->scratch);
    }
    return true;
}

/* Persistent buffers start at zero and go from run to run. */
static void load_states(Run *r, Arena *arena)
{
    for (State *s = r->g->state; s; s = s->next) {
        if (!s->data)
            s->data = tensor_room(arena, &s->in->type);
        r->tensor[s->in->id].data = s->data;
    }
}

static void save_states(Run *r)
{
    for (State *s = r->g->state; s; s = s->next)
        memcpy(s->data, r->tensor[s->out->id].data,
               (size_t)type_bytes(&s->in->type));
}

bool graph_eval(Graph *g, const Tensor *in, Tensor *out, Arena *arena,
                EvalHook *hook, void *user)
{
    Run r = { g, NULL, NULL, g->scratch, hook, user };
    bool ok;

    if (graph_has_regions(g))
        graph_number(g);
    r.tensor = NEW_ARRAY(arena, Tensor, g->nvalue);
    r.left = NEW_ARRAY(arena, int, g->nvalue);
    for (int i = 0; i < g->nvalue; i++) {
        Value *v = g->value[i];
        r.left[i] = v->nuse;
        r.tensor[i].type = v->type;
        r.tensor[i].data = (void *)(uintptr_t)v->data;
    }
    for (int i = 0; i < g->nin; i++)
        r.tensor[g->in[i]->id].data = in[i].data;
    load_states(&r, g->arena);
    ok = run_all(&r);
    if (ok)
        save_states(&r);
    for (int i = 0; ok && i < g->nout; i++) {
        const Tensor *t = &r.tensor[g->out[i]->id];
        out[i].type = t->type;
        out[i].data = arena_memdup(arena, t->data,
                                   (size_t)type_bytes(&t->type));
    }
    for (int i = 0; i < g->nvalue; i++)
        if (g->value[i]->def)
            free(r.tensor[i].data);
    return ok;
}
