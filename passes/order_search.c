/* order_search.c - is there an order whose peak is lower?
 *
 * Best-first search for the least bottleneck over the sets of steps that have
 * run. At level B every set is visited that can be reached without going
 * above B; moves that go higher wait in a heap. When a level is exhausted, B
 * is proved to be too little, and the lowest waiting move gives the next
 * level: the first complete order is an optimal one, and at any moment B is
 * a lower bound.
 *
 * What keeps the sets few:
 * - Safe moves (walk_settle): live bytes m are a submodular function of the
 *   set S that has run, so a step that fits and does not raise m can run at
 *   once: whatever another order does from S, it can do after that step with
 *   no more live. The same holds for a chain of steps, each needing the one
 *   before, that ends no higher than it began and stays higher between.
 * - Edges that the level implies (order_imply.c): the search begins anew at
 *   the level at which they no longer hold.
 * - Steps that only add to what is live wait until they are needed
 *   (order_lazy.c).
 * - Equal sets are visited once.
 * - Past a step that every other step must precede or follow, everything
 *   before is forgotten: all orders go through that set.
 */
#include "order.h"

#include <time.h>

typedef struct Move {
    int64_t need;               /* bytes live while the step runs */
    int from, step;             /* visit, and the step to run there */
} Move;

typedef struct Search {
    Walk *w;
    OrderSearch *o;
    Move *stack, *heap;         /* moves of this level; of later ones */
    int nstack, capstack, nheap, capheap;
    uint64_t (*seen)[2];        /* open addressing; 0,0 is free */
    size_t nseen, capseen;
    bool *cut, *lazy;           /* by step */
    int *mark, stamp;           /* by step: looked at */
    int *list, nlist;           /* steps to run, in order */
    int *listed, list_stamp;    /* by step: is in the list */
    long stop;
} Search;

/* Steps that all others precede or follow: no step before one has all of its
 * readers after it, and none after it has all of its makers before. */
static void find_cuts(Search *s)
{
    const Deps *d = &s->w->deps;
    int far = -1, near = d->n;

    /* the set of a cut is the same in every order, but not who lies in the
     * place of a state */
    if (s->w->s->g->state)
        return;
    for (int p = 0; p < d->n; p++) {
        int k = d->topo[p], reader = d->n;
        s->cut[k] = far <= p;
        for (int i = d->first[k]; i < d->first[k + 1]; i++)
            if (d->pos[d->succ[i]] < reader)
                reader = d->pos[d->succ[i]];
        far = reader > far ? reader : far;
    }
    for (int p = d->n - 1; p >= 0; p--) {
        int k = d->topo[p], maker = -1;
        s->cut[k] = s->cut[k] && near >= p;
        for (int i = d->pfirst[k]; i < d->pfirst[k + 1]; i++)
            if (d->pos[d->pred[i]] > maker)
                maker = d->pos[d->pred[i]];
        near = maker < near ? maker : near;
    }
}

static void grow_seen(Search *s)
{
    size_t was = s->capseen;
    uint64_t (*old)[2] = s->seen;

    s->capseen = was ? 2 * was : 1024;
    s->seen = arena_array(s->w->s->g->scratch, s->capseen, sizeof *s->seen);
    for (size_t i = 0; i < was; i++) {
        size_t at = old[i][0] & (s->capseen - 1);
        if (!old[i][0] && !old[i][1])
            continue;
        while (s->seen[at][0] || s->seen[at][1])
            at = (at + 1) & (s->capseen - 1);
        s->seen[at][0] = old[i][0];
        s->seen[at][1] = old[i][1];
    }
}

/* True the first time. */
static bool is_new(Search *s)
{
    const uint64_t *key = s->w->key;
    size_t at;

    if (2 * (s->nseen + 1) > s->capseen)
        grow_seen(s);
    at = key[0] & (s->capseen - 1);
    while (s->seen[at][0] || s->seen[at][1]) {
        if (s->seen[at][0] == key[0] && s->seen[at][1] == key[1])
            return false;
        at = (at + 1) & (s->capseen - 1);
    }
    s->seen[at][0] = key[0];
    s->seen[at][1] = key[1];
    s->nseen++;
    return true;
}

static bool is_lower(const Move *a, const Move *b)
{
    return a->need != b->need ? a->need < b->need : a->from > b->from;
}

static void heap_push(Search *s, Move m)
{
    int i;

    PUSH(s->w->s->g->scratch, s->heap, s->nheap, s->capheap, m);
    for (i = s->nheap - 1; i && is_lower(&m, &s->heap[(i - 1) / 2]);
         i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = m;
}

static Move heap_pop(Search *s)
{
    Move top = s->heap[0], m = s->heap[--s->nheap];
    int i = 0;

    for (;;) {
        int c = 2 * i + 1;
        if (c + 1 < s->nheap && is_lower(&s->heap[c + 1], &s->heap[c]))
            c++;
        if (c >= s->nheap || !is_lower(&s->heap[c], &m))
            break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    s->heap[i] = m;
    return top;
}

/* All orders go through the set that a cut step completes. */
static void forget(Search *s, int from)
{
    const Walk *w = s->w;

    for (int v = w->at; v != from; v = w->visit[v].parent)
        if (s->cut[w->visit[v].step]) {
            s->nstack = s->nheap = 0;
            return;
        }
}

/* What is tried first: the move with the least of this, then the step that
 * comes first in the model. Only the order that is found depends on it. */
static int64_t rank(const Search *s, const Move *m, int64_t after)
{
    uint64_t mix = (uint64_t)m->step * 0x9E3779B97F4A7C15u;

    switch (s->o->variant) {
    case 0: return after;
    case 1: return 0;
    case 2: return -m->step;
    case 3: return -m->need;
    case 4: return m->need;
    case 5: return -after;
    }
    mix ^= (uint64_t)s->o->variant * 0xD1B54A32D192ED03u;
    return (int64_t)(mix * 0xFF51AFD7ED558CCDu >> 8);
}

/* The first to be tried goes on top of the stack. */
static void sort_moves(Move *m, int64_t *key, int n)
{
    for (int i = 1; i < n; i++)
        for (int j = i; j && (key[j - 1] < key[j] ||
                              (key[j - 1] == key[j] &&
                               m[j - 1].step < m[j].step)); j--) {
            int64_t k = key[j];
            Move t = m[j];
            key[j] = key[j - 1];
            m[j] = m[j - 1];
            key[j - 1] = k;
            m[j - 1] = t;
        }
}

static bool has_run(const Walk *w, int k)
{
    return !w->missing[k] && w->place[k] < 0;
}

/* Appends what k lacks to the list; false when it is not only lazy steps. */
static bool gather(Search *s, int k)
{
    const Deps *d = &s->w->deps;

    for (int i = d->pfirst[k]; i < d->pfirst[k + 1]; i++) {
        int p = d->pred[i];
        if (has_run(s->w, p) || s->listed[p] == s->list_stamp)
            continue;
        if (!s->lazy[p] || !gather(s, p))
            return false;
    }
    s->listed[k] = s->list_stamp;
    s->list[s->nlist++] = k;
    return true;
}

/* The list of steps that run k; false when it cannot run now. */
static bool make_list(Search *s, int k)
{
    s->nlist = 0;
    s->list_stamp++;
    return gather(s, k);
}

/* Bytes live while the list runs, and afterwards; leaves the walk as it
 * was. */
static int64_t try_list(Search *s, int64_t *after)
{
    Walk *w = s->w;
    int64_t most = 0;

    for (int i = 0; i < s->nlist; i++) {
        int64_t need = walk_peek(w, s->list[i], after);
        most = need > most ? need : most;
        if (i + 1 < s->nlist)
            walk_run(w, s->list[i]);
    }
    for (int i = s->nlist - 2; i >= 0; i--)
        walk_undo(w, s->list[i]);
    return most;
}

/* The move that runs k, with what it lacks. */
static void add_move(Search *s, int k, int64_t *key, int first, int most)
{
    Walk *w = s->w;
    int64_t after;
    Move m = { 0, w->at, k };

    if (!make_list(s, k))
        return;
    m.need = try_list(s, &after);
    if (m.need >= s->o->peak)
        return;
    if (m.need > s->o->bound) {
        heap_push(s, m);
        return;
    }
    PUSH(w->s->g->scratch, s->stack, s->nstack, s->capstack, m);
    if (s->nstack - first <= most)
        key[s->nstack - first - 1] = rank(s, &m, after);
}

/* The steps, not lazy ones, that k or those who wait for it lead to. */
static void find_moves(Search *s, int k, int64_t *key, int first, int most)
{
    const Deps *d = &s->w->deps;

    if (s->mark[k] == s->stamp)
        return;
    s->mark[k] = s->stamp;
    if (!s->lazy[k]) {
        add_move(s, k, key, first, most);
        return;
    }
    for (int i = d->first[k]; i < d->first[k + 1]; i++)
        find_moves(s, d->succ[i], key, first, most);
}

/* The moves from where the walk stands. */
static void expand(Search *s)
{
    enum { MOST = 256 };
    int64_t key[MOST];
    Walk *w = s->w;
    int first = s->nstack, n = w->nready;
    int *ready = s->list + w->s->nstep;

    s->stamp++;
    for (int i = 0; i < n; i++)
        ready[i] = w->ready[i];
    for (int i = 0; i < n; i++)
        find_moves(s, ready[i], key, first, MOST);
    n = s->nstack - first;
    sort_moves(s->stack + first, key, n < MOST ? n : MOST);
}

/* Runs m and what follows at no cost; true when all steps have run. */
static bool take(Search *s, Move m)
{
    Walk *w = s->w;

    walk_to(w, m.from);
    if (m.step >= 0)
        make_list(s, m.step);
    for (int i = 0; m.step >= 0 && i < s->nlist; i++)
        walk_add(w, s->list[i]);
    walk_settle(w, s->o->bound);
    forget(s, m.from);
    if (w->done == w->s->nstep)
        return true;
    if (is_new(s))
        expand(s);
    return false;
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool is_spent(const Search *s)
{
    return s->w->work > s->stop ||
           (s->o->deadline > 0 && seconds() > s->o->deadline);
}

/* The next level: the lowest moves that wait. False when they need `until`
 * bytes or more, or an order is known that needs no more. */
static bool next_level(Search *s, int64_t until)
{
    int64_t next = s->nheap && s->heap[0].need < until ? s->heap[0].need
                                                       : until;

    s->o->bound = next < s->o->peak ? next : s->o->peak;
    if (next == until || next >= s->o->peak)
        return false;
    while (s->nheap && s->heap[0].need <= next) {
        Move m = heap_pop(s);
        PUSH(s->w->s->g->scratch, s->stack, s->nstack, s->capstack, m);
    }
    return true;
}

/* Raises the bound to `until`, or finds an order; false at the end of the
 * effort. */
static bool search_until(Search *s, int64_t until)
{
    bool found;

    find_cuts(s);
    s->nstack = s->nheap = 0;
    s->nseen = 0;
    for (size_t i = 0; i < s->capseen; i++)
        s->seen[i][0] = s->seen[i][1] = 0;
    found = take(s, (Move){ 0, 0, -1 });
    while (!found) {
        if (is_spent(s))
            return false;
        if (!s->nstack && !next_level(s, until))
            return true;
        found = s->nstack && take(s, s->stack[--s->nstack]);
    }
    walk_order(s->w, s->w->at, s->o->order);
    s->o->peak = s->o->bound;
    s->o->improved = true;
    return true;
}

/* One level, and those above that imply the same edges; false at the end of
 * the effort. */
static bool search_level(Search *s, Arena *a)
{
    OrderSearch *o = s->o;
    int64_t until = INT64_MAX;
    int n = 0, before = -1;
    Edge *edge = NULL;
    Deps d;

    while (n > before) {
        before = n;
        if (!order_imply(s->w->s, &d, o->bound, &until, edge, n, &s->w->work,
                         a)) {
            o->bound = until < o->peak ? until : o->peak;
            return true;
        }
        walk_reset(s->w, &d);
        n = order_ends(s->w, o->bound, &edge, a);
        s->w->work += s->w->s->nstep;
    }
    walk_reset(s->w, &d);
    order_lazy(s->w->s, &d, s->lazy, a);
    return search_until(s, until);
}

void order_search(Walk *w, OrderSearch *o)
{
    Search s = { .w = w, .o = o, .stop = w->work + o->work };
    bool goes_on = true;

    s.cut = NEW_ARRAY(w->s->g->scratch, bool, w->s->nstep + 1);
    s.lazy = NEW_ARRAY(w->s->g->scratch, bool, w->s->nstep + 1);
    s.mark = NEW_ARRAY(w->s->g->scratch, int, w->s->nstep + 1);
    s.listed = NEW_ARRAY(w->s->g->scratch, int, w->s->nstep + 1);
    s.list = NEW_ARRAY(w->s->g->scratch, int, 2 * w->s->nstep + 2);
    while (goes_on && o->bound < o->peak && !is_spent(&s)) {
        Arena *a = arena_child(w->s->g->scratch);
        goes_on = search_level(&s, a);
        arena_free(a);
    }
}
