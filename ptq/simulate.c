/* simulate.c - runs the float graph on a sample, as it is or rounded to the
 * chosen grids where it will be quantized. What comes out with rounding is
 * what the graph with Q/DQ pairs computes.
 */
#include "ptq_int.h"

#include <string.h>

void params_set(Ptq *p, bool quantized)
{
    if (p->simulate == quantized)
        return;
    p->simulate = quantized;
    for (int i = 0; i < p->nparam; i++) {
        const Param *c = p->param[i];
        node_set_input(c->n, c->slot, quantized ? c->sim : c->real);
    }
}

static void round_value(const Ptq *p, const Value *v, Tensor *t)
{
    const Class *c = v ? class_of(p, v) : NULL;

    if (c)
        grid_round_all(&c->grid, t->data, type_elems(&t->type));
}

static void after_node(void *user, const Node *n, const Tensor *const *in,
                       Tensor *const *out)
{
    const Runner *r = user;

    for (int i = 0; r->quantized && i < n->nout; i++)
        if (n->out[i])
            round_value(r->p, n->out[i], out[i]);
    if (r->hook)
        r->hook(r->user, n, in, out);
}

/* Persistent buffers start each walk over the samples empty. */
static void clear_states(Graph *g)
{
    for (State *s = g->state; s; s = s->next)
        if (s->data)
            memset(s->data, 0, (size_t)type_bytes(&s->in->type));
}

bool run_sample(Ptq *p, int k, bool quantized, EvalHook *hook, void *user,
                Tensor *out, Arena *arena)
{
    Graph *g = p->g;
    Runner r = { p, quantized, hook, user };
    Tensor *in = NEW_ARRAY(arena, Tensor, g->nin);
    Tensor *res = out ? out : NEW_ARRAY(arena, Tensor, g->nout);

    if (k == 0)
        clear_states(g);
    params_set(p, quantized && !p->activations_only);
    for (int i = 0; i < g->nin; i++) {
        in[i] = p->opt->sample[k][i];
        if (!quantized || !class_of(p, g->in[i]))
            continue;
        in[i].data = arena_memdup(arena, in[i].data,
                                  (size_t)type_bytes(&in[i].type));
        round_value(p, g->in[i], &in[i]);
    }
    return graph_eval(g, in, res, arena, after_node, &r);
}
