/* storage.c - stores: values with their views, who reads them, and which may
 * be overwritten. Nothing here depends on the order of steps. */
#include "../ir/region.h"
#include "placed.h"

static int64_t rounded(int64_t bytes)
{
    return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static int store_new(Storage *s, Value *v, const State *state)
{
    Store store = { .root = v, .state = state, .at = -1 };
    int64_t bytes = type_bytes(&v->type);

    if (!bytes)
        return -1;
    store.bytes = rounded(bytes);
    PUSH(s->g->scratch, s->store, s->nstore, s->capstore, store);
    s->of[v->id] = s->nstore - 1;
    return s->nstore - 1;
}

/* v lies in store k; what leaves the model lives until the end. */
static void add_member(Storage *s, int k, const Value *v, int64_t delta)
{
    Store *t = &s->store[k];

    s->of[v->id] = k;
    s->delta[v->id] = delta;
    if (t->at < 0 && value_placed(s->g, v) >= 0)
        t->at = value_placed(s->g, v) - delta;
    if (!v->is_output)
        return;
    t->lasting = true;
    t->leave = t->leaves && t->leaves != v;
    t->leaves = v;
}

static void add_store(Storage *s, Value *v, const State *state)
{
    int k = store_new(s, v, state);

    if (k >= 0)
        add_member(s, k, v, 0);
}

/* A state's place is rewritten when the run ends: what leaves the model by
 * another way must not lie there. */
static bool may_host(const State *state, const Value *leaves, bool leave)
{
    return !leaves || (!leave && leaves == state->out);
}

static bool is_kept_input(const Storage *s, int k, const PassOptions *opt)
{
    const Store *t = &s->store[k];

    return opt->keep_inputs && t->root->is_input && !t->state;
}

/* A view costs nothing when all results of the node are views. */
static bool can_view(const Storage *s, const Node *n, const PassOptions *opt)
{
    const Value *x = node_in(n, 0);
    int k = x ? s->of[x->id] : -1;
    int64_t shift;

    if (opt->no_reuse || k < 0 || is_kept_input(s, k, opt))
        return false;
    for (int i = 0; i < n->nout; i++) {
        const Value *y = n->out[i];
        const State *host = s->store[k].state;
        if (y && type_bytes(&y->type) &&
            (!node_view_shift(n, i, &shift) ||
             (host && y->is_output && !may_host(host, y, false))))
            return false;
    }
    return true;
}

static bool try_view(Storage *s, const Node *n, const PassOptions *opt)
{
    const Value *x = node_in(n, 0);
    int64_t shift;

    if (!can_view(s, n, opt))
        return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && node_view_shift(n, i, &shift))
            add_member(s, s->of[x->id], n->out[i],
                       s->delta[x->id] + shift);
    return true;
}

/* May y take the place of operand k of n once that is read? No other operand
 * may live there in another shape. */
static bool can_overwrite(const Storage *s, const Node *n, int k,
                          const PassOptions *opt)
{
    const Value *x = n->in[k], *y = n->out[0];
    int store = x ? s->of[x->id] : -1;

    if (store < 0 || !node_may_overwrite(n, k) || s->delta[x->id] ||
        s->store[store].bytes != rounded(type_bytes(&y->type)) ||
        type_bytes(&s->store[store].root->type) != type_bytes(&y->type) ||
        is_kept_input(s, store, opt))
        return false;
    for (int i = 0; i < n->nin; i++) {
        const Value *o = n->in[i];
        if (i != k && o && s->of[o->id] == store &&
            (s->delta[o->id] || !type_same_shape(&o->type, &y->type) ||
             op_has(n->op, T_ROWS)))
            return false;
    }
    return true;
}

static void add_once(int *list, int *n, int k)
{
    for (int i = 0; i < *n; i++)
        if (list[i] == k)
            return;
    list[(*n)++] = k;
}

static void find_over(Storage *s, Step *step, const PassOptions *opt)
{
    const Node *n = step->node;
    int operands = op_has(n->op, T_MAP) ? n->nin : 1;

    if (!op_has(n->op, T_MAP | T_ROWS) || opt->no_reuse || !n->out[0] ||
        s->of[n->out[0]->id] < 0 || !n->nin)
        return;
    step->over = NEW_ARRAY(s->g->scratch, int, operands);
    for (int k = 0; k < operands; k++)
        if (can_overwrite(s, n, k, opt) &&
            s->store[s->of[n->in[k]->id]].at ==
            s->store[s->of[n->out[0]->id]].at)
            add_once(step->over, &step->nover, s->of[n->in[k]->id]);
}

/* The list of distinct stores that n reads; `seen` is by store + 1. */
static void find_reads(Storage *s, Step *step, int *seen, int stamp)
{
    const Node *n = step->node;

    step->read = NEW_ARRAY(s->g->scratch, int, n->nin ? n->nin : 1);
    for (int i = 0; i < n->nin; i++) {
        int k = n->in[i] ? s->of[n->in[i]->id] : -1;
        if (k < 0 || seen[k] == stamp)
            continue;
        seen[k] = stamp;
        step->read[step->nread++] = k;
        s->store[k].nreader++;
    }
}

static const State *commit_state(const Graph *g, const Node *n)
{
    for (const State *st = g->state; st; st = st->next)
        if (st->out == n->in[0])
            return st;
    return NULL;
}

static void find_makes(Storage *s, Step *step, const PassOptions *opt)
{
    Node *n = step->node;

    if (node_is_commit(n)) {
        const State *st = commit_state(s->g, n);
        if (st && s->of[st->in->id] >= 0) {
            s->of[n->out[0]->id] = s->of[st->in->id];
            s->delta[n->out[0]->id] = 0;
        }
        return;
    }
    if (try_view(s, n, opt))
        return;
    step->make = NEW_ARRAY(s->g->scratch, int, n->nout ? n->nout : 1);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) {
            add_store(s, n->out[i], NULL);
            if (s->of[n->out[i]->id] >= 0)
                step->make[step->nmake++] = s->of[n->out[i]->id];
        }
}

static void input_stores(Storage *s, const PassOptions *opt)
{
    for (const State *st = s->g->state; st; st = st->next)
        add_store(s, st->in, st);
    for (int i = 0; i < s->g->nin; i++) {
        const Value *v = s->g->in[i];
        add_store(s, s->g->in[i], NULL);
        if (s->of[v->id] >= 0 && opt->keep_inputs)
            s->store[s->of[v->id]].lasting = true;
    }
}

/* Each store's list of readers, from each step's list of reads. */
static void find_readers(Storage *s)
{
    for (int k = 0; k < s->nstore; k++) {
        s->store[k].reader = NEW_ARRAY(s->g->scratch, int,
                                       s->store[k].nreader + 1);
        s->store[k].nreader = 0;
    }
    for (int i = 0; i < s->nstep; i++)
        for (int r = 0; r < s->step[i].nread; r++) {
            Store *t = &s->store[s->step[i].read[r]];
            t->reader[t->nreader++] = i;
        }
}

Storage *storage_new(Graph *g, const PassOptions *opt)
{
    Storage *s = NEW(g->scratch, Storage);
    int *seen, i = 0;

    s->g = g;
    graph_number(g);
    for EACH_NODE(n, g) {
        s->nstep++;
        if (opt->scratch)
            opt->scratch(n);
    }
    s->step = NEW_ARRAY(g->scratch, Step, s->nstep ? s->nstep : 1);
    s->of = NEW_ARRAY(g->scratch, int, g->nvalue ? g->nvalue : 1);
    s->delta = NEW_ARRAY(g->scratch, int64_t, g->nvalue ? g->nvalue : 1);
    for (i = 0; i < g->nvalue; i++)
        s->of[i] = -1;
    input_stores(s, opt);
    for EACH_NODE(n, g) {
        s->step[n->index].node = n;
        s->step[n->index].scratch = rounded(n->scratch);
        find_makes(s, &s->step[n->index], opt);
    }
    seen = NEW_ARRAY(g->scratch, int, s->nstore ? s->nstore : 1);
    for (i = 0; i < s->nstep; i++) {
        find_reads(s, &s->step[i], seen, i + 1);
        find_over(s, &s->step[i], opt);
    }
    find_readers(s);
    return s;
}

int64_t reserved_bytes(const Graph *g, const PassOptions *opt)
{
    Band band;

    return rounded(opt->state_reserve) +
           rounded(g->nlevel ? g->nlayer : 0) +
           (graph_band(g, &band) ? BAND_COUNT_BYTES : 0);
}

int64_t state_bytes(const Graph *g, const PassOptions *opt)
{
    int64_t bytes = reserved_bytes(g, opt);

    for (const State *st = g->state; st; st = st->next)
        bytes += rounded(type_bytes(&st->in->type));
    return bytes;
}

void live_start(Live *l, const Storage *s)
{
    Arena *a = s->g->scratch;

    *l = (Live){ .s = s };
    l->left = NEW_ARRAY(a, int, s->nstore + 1);
    l->host = NEW_ARRAY(a, const State *, s->nstore + 1);
    l->over = NEW_ARRAY(a, int, s->nstep + 1);
    live_reset(l);
}

void live_reset(Live *l)
{
    l->now = l->before = 0;
    for (int k = 0; k < l->s->nstore; k++) {
        const Store *t = &l->s->store[k];
        l->left[k] = t->nreader;
        l->host[k] = t->state;
        if (t->root->def || t->state)
            continue;
        l->before += t->bytes;
        if (t->nreader || t->lasting)
            l->now += t->bytes;
    }
}

/* The store that make[0] overwrites when step k runs now; -1: none. A
 * state's place is best: it costs nothing for as long as it is used. */
static int overwritten(const Live *l, const Step *step)
{
    const Store *store = l->s->store;
    int best = -1;

    for (int i = 0; i < step->nover; i++) {
        int x = step->over[i];
        const Store *y = &store[step->make[0]];
        if (l->left[x] != 1 || store[x].lasting)
            continue;
        if (l->host[x] && may_host(l->host[x], y->leaves, y->leave))
            return x;
        if (!l->host[x] && best < 0)
            best = x;
    }
    return best;
}

/* A store of the arena that dies when its last reader has run. */
static bool is_freed(const Live *l, int k)
{
    return !l->s->store[k].lasting && !l->host[k];
}

int64_t live_peek(const Live *l, int k, int64_t *after)
{
    const Step *step = &l->s->step[k];
    const Store *store = l->s->store;
    int over = overwritten(l, step);
    int64_t alloc = 0, freed = 0;

    for (int i = over >= 0; i < step->nmake; i++) {
        const Store *y = &store[step->make[i]];
        alloc += y->bytes;
        if (!y->nreader && !y->lasting)
            freed += y->bytes;
    }
    for (int i = 0; i < step->nread; i++) {
        int x = step->read[i];
        if (l->left[x] == 1 && is_freed(l, x) && x != over)
            freed += store[x].bytes;
    }
    if (over >= 0 && !l->host[over]) {
        const Store *y = &store[step->make[0]];
        if (!y->nreader && !y->lasting)
            freed += y->bytes;
    }
    *after = l->now + alloc - freed;
    return l->now + alloc + step->scratch;
}

int64_t live_run(Live *l, int k)
{
    const Step *step = &l->s->step[k];
    int64_t after, peak = live_peek(l, k, &after);

    l->over[k] = overwritten(l, step);
    if (l->over[k] >= 0)
        l->host[step->make[0]] = l->host[l->over[k]];
    for (int i = 0; i < step->nread; i++)
        l->left[step->read[i]]--;
    l->now = after;
    return peak;
}

void live_undo(Live *l, int k)
{
    const Step *step = &l->s->step[k];
    int64_t after, was = l->now;

    for (int i = 0; i < step->nread; i++)
        l->left[step->read[i]]++;
    if (step->nmake)
        l->host[step->make[0]] = NULL;
    live_peek(l, k, &after);
    l->now = was - (after - was);
}

int64_t live_peak(const Storage *s, const int *order)
{
    Live l;
    int64_t peak;

    live_start(&l, s);
    peak = l.before;
    for (int i = 0; i < s->nstep; i++) {
        int64_t m = live_run(&l, order[i]);
        if (m > peak)
            peak = m;
    }
    return peak;
}
