/* schedule.c - the order of steps, for a small peak.
 *
 * Candidates are the model's own order and greedy ones (among the steps whose
 * operands are there, the one that leaves the least memory live). Each is
 * judged by the planner's own bound, with views and in-place results; the
 * model's order stays unless another is better.
 */
#include "storage.h"

typedef struct Sched {
    Graph *g;
    int n;
    Node **node;                /* in the model's order */
    int *missing;               /* operands still to be made, per node */
    int *left;                  /* readers still to run, per value */
    bool *done;
} Sched;

static int64_t bytes_of(const Value *v)
{
    return value_is_const(v) ? 0 : type_bytes(&v->type);
}

static int count_missing(const Node *n)
{
    int k = 0;

    for (int i = 0; i < n->nin; i++)
        k += n->in[i] && n->in[i]->def;
    return k;
}

/* Bytes that running n adds to what is live. */
static int64_t growth(const Sched *s, const Node *n)
{
    int64_t d = 0;

    if (!op_has(n->op, T_VIEW))
        for (int i = 0; i < n->nout; i++)
            if (n->out[i])
                d += bytes_of(n->out[i]);
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i];
        int same = 0;
        if (!v || v->is_output)
            continue;
        for (int k = 0; k < n->nin; k++) {
            if (k < i && n->in[k] == v)
                same = -n->nin;         /* counted already */
            same += n->in[k] == v;
        }
        if (same > 0 && s->left[v->id] == same && !op_has(n->op, T_VIEW))
            d -= bytes_of(v);
    }
    return d;
}

static void run(Sched *s, int k)
{
    Node *n = s->node[k];

    s->done[k] = true;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i])
            s->left[n->in[i]->id]--;
    for (int i = 0; i < n->nout; i++)
        for (int u = 0; n->out[i] && u < n->out[i]->nuse; u++)
            s->missing[n->out[i]->use[u]->index]--;
}

static void greedy(Sched *s, Node **order)
{
    for (int k = 0; k < s->n; k++) {
        s->missing[k] = count_missing(s->node[k]);
        s->done[k] = false;
    }
    for (int i = 0; i < s->g->nvalue; i++)
        s->left[i] = s->g->value[i]->nuse;
    for (int at = 0; at < s->n; at++) {
        int best = -1;
        int64_t least = 0;
        for (int k = 0; k < s->n; k++) {
            int64_t d;
            if (s->done[k] || s->missing[k])
                continue;
            d = growth(s, s->node[k]);
            if (best < 0 || d < least) {
                best = k;
                least = d;
            }
        }
        run(s, best);
        order[at] = s->node[best];
    }
}

static void apply(Sched *s, Node **order)
{
    for (int i = 0; i < s->n; i++)
        node_move(order[i], NULL);
    graph_number(s->g);
}

/* A chain has one order. */
static bool is_chain(const Graph *g)
{
    for EACH_NODE(n, g)
        for (int i = 0; i < n->nout; i++)
            if (n->out[i] && n->out[i]->nuse > 1)
                return false;
    return g->nin == 0 || (g->nin == 1 && g->in[0]->nuse <= 1);
}

static int64_t peak_of(Graph *g, const PassOptions *opt)
{
    Storage *storage = storage_new(g, opt);
    int *order = NEW_ARRAY(g->scratch, int, storage->nstep + 1);

    for (int i = 0; i < storage->nstep; i++)
        order[i] = i;
    return live_peak(storage, order);
}

bool pass_schedule(Graph *g, const PassOptions *opt, bool *changed)
{
    enum { MAX_NODES = 4000 };
    Sched s = { g, 0, NULL, NULL, NULL, NULL };
    Node **order;
    int64_t before;

    for EACH_NODE(n, g)
        s.n++;
    if (s.n > MAX_NODES || is_chain(g))
        return true;
    s.node = NEW_ARRAY(g->scratch, Node *, s.n);
    s.missing = NEW_ARRAY(g->scratch, int, s.n);
    s.done = NEW_ARRAY(g->scratch, bool, s.n);
    s.left = NEW_ARRAY(g->scratch, int, g->nvalue);
    order = NEW_ARRAY(g->scratch, Node *, s.n);
    graph_number(g);
    for EACH_NODE(n, g)
        s.node[n->index] = n;
    before = peak_of(g, opt);
    g->model_order_bound = before + state_bytes(g, opt);
    greedy(&s, order);
    apply(&s, order);
    if (peak_of(g, opt) < before)
        *changed = true;
    else
        apply(&s, s.node);
    return true;
}
