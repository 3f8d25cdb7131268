/* order.c - walking through sets of steps that have run. */
#include "order.h"

/* The distinct edges of the data. */
static int data_edges(const Storage *s, Edge *e, Arena *a)
{
    int *seen = NEW_ARRAY(a, int, s->nstep + 1), n = 0;

    for (int k = 0; k < s->nstep; k++) {
        const Node *node = s->step[k].node;
        for (int i = 0; i < node->nin; i++) {
            const Node *p = node->in[i] ? node->in[i]->def : NULL;
            if (!p || seen[p->index] == k + 1)
                continue;
            seen[p->index] = k + 1;
            e[n++] = (Edge){ p->index, k };
        }
    }
    return n;
}

static void fill(Deps *d, const Edge *e, int n)
{
    for (int i = 0; i < n; i++) {
        d->first[e[i].from + 1]++;
        d->pfirst[e[i].to + 1]++;
    }
    for (int k = 0; k < d->n; k++) {
        d->first[k + 1] += d->first[k];
        d->pfirst[k + 1] += d->pfirst[k];
    }
    for (int i = n - 1; i >= 0; i--) {
        d->succ[--d->first[e[i].from + 1]] = e[i].to;
        d->pred[--d->pfirst[e[i].to + 1]] = e[i].from;
    }
    for (int k = 0; k < d->n; k++) {
        d->first[k] = d->first[k + 1];
        d->pfirst[k] = d->pfirst[k + 1];
    }
    d->first[d->n] = d->pfirst[d->n] = n;
}

/* False: there is a cycle. */
static bool sort_steps(Deps *d, Arena *a)
{
    int *missing = NEW_ARRAY(a, int, d->n + 1), n = 0;

    for (int k = 0; k < d->n; k++) {
        missing[k] = d->pfirst[k + 1] - d->pfirst[k];
        if (!missing[k])
            d->topo[n++] = k;
    }
    for (int i = 0; i < n; i++) {
        int k = d->topo[i];
        d->pos[k] = i;
        for (int j = d->first[k]; j < d->first[k + 1]; j++)
            if (!--missing[d->succ[j]])
                d->topo[n++] = d->succ[j];
    }
    return n == d->n;
}

bool deps_init(Deps *d, const Storage *s, const Edge *more, int n, Arena *a)
{
    int most = n, all;
    Edge *e;

    for (int k = 0; k < s->nstep; k++)
        most += s->step[k].node->nin;
    e = NEW_ARRAY(a, Edge, most + 1);
    all = data_edges(s, e, a);
    for (int i = 0; i < n; i++)
        e[all++] = more[i];
    *d = (Deps){
        .n = s->nstep,
        .first = NEW_ARRAY(a, int, s->nstep + 2),
        .pfirst = NEW_ARRAY(a, int, s->nstep + 2),
        .succ = NEW_ARRAY(a, int, all + 1),
        .pred = NEW_ARRAY(a, int, all + 1),
        .topo = NEW_ARRAY(a, int, s->nstep + 1),
        .pos = NEW_ARRAY(a, int, s->nstep + 1),
    };
    fill(d, e, all);
    return sort_steps(d, a);
}

static void add_ready(Walk *w, int k)
{
    w->place[k] = w->nready;
    w->ready[w->nready++] = k;
}

static void drop_ready(Walk *w, int k)
{
    int last = w->ready[--w->nready];

    w->ready[w->place[k]] = last;
    w->place[last] = w->place[k];
    w->place[k] = -1;
}

void walk_init(Walk *w, const Storage *s)
{
    Arena *a = s->g->scratch;
    int n = s->nstep;
    Deps d;

    *w = (Walk){ .s = s };
    live_start(&w->live, s);
    w->missing = NEW_ARRAY(a, int, n + 1);
    w->ready = NEW_ARRAY(a, int, n + 1);
    w->place = NEW_ARRAY(a, int, n + 1);
    w->path = NEW_ARRAY(a, int, n + 1);
    PUSH(a, w->visit, w->nvisit, w->capvisit, ((Visit){ -1, -1, 0 }));
    deps_init(&d, s, NULL, 0, a);
    walk_reset(w, &d);
}

void walk_reset(Walk *w, const Deps *d)
{
    w->deps = *d;
    live_reset(&w->live);
    w->nready = w->done = w->at = 0;
    w->key[0] = w->key[1] = 0;
    w->nvisit = 1;
    for (int k = 0; k < d->n; k++) {
        w->missing[k] = d->pfirst[k + 1] - d->pfirst[k];
        w->place[k] = -1;
        if (!w->missing[k])
            add_ready(w, k);
    }
}

/* splitmix64: sets are told apart by the sum of their members' numbers. */
static uint64_t number(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void flip_key(Walk *w, uint64_t what)
{
    w->key[0] ^= number(2 * what);
    w->key[1] ^= number(2 * what + 1);
}

/* Step k's part of the key: that it ran, and whose place it took. */
static void flip(Walk *w, int k)
{
    const Step *step = &w->s->step[k];
    const State *host = step->nmake ? w->live.host[step->make[0]] : NULL;

    flip_key(w, (uint64_t)k);
    if (host)
        flip_key(w, (uint64_t)(host->in->id + 1) << 32 | (uint64_t)k);
}

void walk_run(Walk *w, int k)
{
    live_run(&w->live, k);
    flip(w, k);
    drop_ready(w, k);
    for (int i = w->deps.first[k]; i < w->deps.first[k + 1]; i++)
        if (!--w->missing[w->deps.succ[i]])
            add_ready(w, w->deps.succ[i]);
    w->done++;
    w->work++;
}

void walk_undo(Walk *w, int k)
{
    for (int i = w->deps.first[k]; i < w->deps.first[k + 1]; i++)
        if (!w->missing[w->deps.succ[i]]++)
            drop_ready(w, w->deps.succ[i]);
    add_ready(w, k);
    flip(w, k);
    live_undo(&w->live, k);
    w->done--;
    w->work++;
}

void walk_add(Walk *w, int k)
{
    Visit v = { w->at, k, w->visit[w->at].depth + 1 };

    walk_run(w, k);
    w->at = w->nvisit;
    PUSH(w->s->g->scratch, w->visit, w->nvisit, w->capvisit, v);
}

void walk_to(Walk *w, int visit)
{
    int n = 0, to = visit;

    while (w->visit[w->at].depth > w->visit[to].depth) {
        walk_undo(w, w->visit[w->at].step);
        w->at = w->visit[w->at].parent;
    }
    while (w->at != to) {
        if (w->visit[to].depth == w->visit[w->at].depth) {
            walk_undo(w, w->visit[w->at].step);
            w->at = w->visit[w->at].parent;
        }
        w->path[n++] = w->visit[to].step;
        to = w->visit[to].parent;
    }
    while (n)
        walk_run(w, w->path[--n]);
    w->at = visit;
}

void walk_order(const Walk *w, int visit, int *order)
{
    for (int v = visit; v; v = w->visit[v].parent)
        order[w->visit[v].depth - 1] = w->visit[v].step;
}

int64_t walk_peek(Walk *w, int k, int64_t *after)
{
    w->work++;
    return live_peek(&w->live, k, after);
}

bool walk_waits(const Walk *w, int k)
{
    const Step *step = &w->s->step[k];

    for (int i = 0; i < step->nover; i++)
        if (w->live.host[step->over[i]] && w->live.left[step->over[i]] > 1)
            return true;
    return false;
}

/* The step that `last` made ready and that leaves the least, or -1. */
static int next_in_chain(Walk *w, int last, int64_t cap)
{
    int best = -1;
    int64_t least = 0;

    for (int i = w->deps.first[last]; i < w->deps.first[last + 1]; i++) {
        int k = w->deps.succ[i];
        int64_t after;
        if (w->missing[k] || walk_waits(w, k) ||
            walk_peek(w, k, &after) > cap)
            continue;
        if (best < 0 || after < least || (after == least && k < best)) {
            best = k;
            least = after;
        }
    }
    return best;
}

/* A chain from k, each step needing the one before, that ends with no more
 * live than now, and with more all the way: nothing is lost by running it at
 * once. Its length, steps in `chain`; 0: none was found. Leaves w as it was. */
static int safe_chain(Walk *w, int k, int64_t cap, int *chain, int most)
{
    int64_t start = w->live.now;
    int n = 0, found = 0;

    while (k >= 0 && n < most) {
        walk_run(w, k);
        chain[n++] = k;
        if (w->live.now <= start) {
            found = n;
            break;
        }
        k = next_in_chain(w, k, cap);
    }
    while (n)
        walk_undo(w, chain[--n]);
    return found;
}

/* The first step that fits and does not add to what is live, or -1. */
static int safe_step(Walk *w, int64_t cap)
{
    int best = -1;

    for (int i = 0; i < w->nready; i++) {
        int k = w->ready[i];
        int64_t after;
        if ((best < 0 || k < best) && walk_peek(w, k, &after) <= cap &&
            after <= w->live.now && !walk_waits(w, k))
            best = k;
    }
    return best;
}

static bool settle_chain(Walk *w, int64_t cap)
{
    enum { LONGEST = 32, WIDEST = 64 };
    int chain[LONGEST], start[WIDEST], n = 0;

    if (w->nready > WIDEST)
        return false;
    for (int i = 0; i < w->nready; i++) {
        int64_t after;
        if (walk_peek(w, w->ready[i], &after) <= cap &&
            !walk_waits(w, w->ready[i]))
            start[n++] = w->ready[i];
    }
    for (int i = 0; i < n; i++) {
        int length = safe_chain(w, start[i], cap, chain, LONGEST);
        for (int j = 0; j < length; j++)
            walk_add(w, chain[j]);
        if (length)
            return true;
    }
    return false;
}

void walk_settle(Walk *w, int64_t cap)
{
    for (;;) {
        int k = safe_step(w, cap);
        if (k >= 0)
            walk_add(w, k);
        else if (!settle_chain(w, cap))
            return;
    }
}
