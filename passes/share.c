/* share.c - the plans of several models moved into one arena: all state
 * regions first, one behind the other, then what the models use in turn. */
#include "passes.h"

static void move(Graph *g, int64_t at, int64_t states, int64_t bytes)
{
    Plan *p = g->plan;
    int64_t others = states - p->state_bytes;

    for (int i = 0; i < p->nbuf; i++)
        p->buf[i]->offset += p->buf[i]->is_state ? at : others;
    for (int i = 0; i < p->nbound; i++) {
        Bound *b = &p->bounds[i];
        Held *held = NEW_ARRAY(g->arena, Held, b->nheld + 1);
        for (int k = 0; k < b->nheld; k++)
            held[k] = b->held[k];
        b->held = held;
        if (others)
            held[b->nheld++] = (Held){ "state of the other models", others };
        b->bound += others;
        b->plan += others;
    }
    p->lower_bound += others;
    p->peak_bytes += others;
    p->state_at = at;
    p->state_end = states;
    p->arena_bytes = p->pool->bytes = bytes;
    p->is_shared = true;
}

bool plans_share(Graph **g, int n)
{
    int64_t states = 0, most = 0, at = 0;

    for (int k = 0; k < n; k++) {
        const Plan *p = g[k]->plan;
        states += p->state_bytes;
        if (p->arena_bytes - p->state_bytes > most)
            most = p->arena_bytes - p->state_bytes;
    }
    for (int k = 0; k < n; k++) {
        int64_t own = g[k]->plan->state_bytes;
        move(g[k], at, states, states + most);
        at += own;
        if (!plan_check(g[k]))
            return false;
    }
    return true;
}
