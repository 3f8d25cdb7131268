/* dsa_pairs.c - exact search when pairs may overlap or offsets are fixed.
 *
 * With effective sizes of 0 or less a buffer may rest on one that lies
 * higher, so plans cannot be built bottom up. Instead every block has a
 * range of offsets [lo, hi], and the order of two blocks that meet is
 * decided pair by pair (a disjunctive graph, as in job-shop scheduling): a
 * decided pair narrows both ranges, a pair with one order left is decided.
 * When all the lowest offsets are a valid plan, that plan is the answer;
 * otherwise the clashing pair with the least room is tried in both orders.
 */
#include "dsa_int.h"

enum Order { OPEN, A_FIRST, B_FIRST };

typedef struct Link {
    int a, b;
    int64_t ab, ba;             /* b >= a + ab, or a >= b + ba */
    int next_a, next_b;         /* chains of the links of a and of b */
    enum Order order;
} Link;

typedef struct Undo {
    int block, link;            /* one of them, the other is -1 */
    int64_t lo, hi;
} Undo;

typedef struct Net {
    Dsa *d;
    int64_t *lo, *hi;
    int *first;                 /* per block: chain of links */
    Link *link;
    int nlink, cap_link;
    Undo *trail;
    int ntrail, cap_trail;
    int *queue;                 /* blocks whose range changed */
    bool *queued;
    int nqueue;
    int order, depth;
    bool stop;                  /* limit reached within a propagation */
    long nodes, limit, steps;
} Net;

enum {
    MAX_LINKS = 400000,         /* beyond: leave it to the heuristics */
    MAX_DEPTH = 20000,          /* of the recursion */
    STEPS = 4096                /* of propagation that count as a node */
};

static void save(Net *t, int block, int link)
{
    Undo u = { block, link, 0, 0 };

    if (block >= 0) {
        u.lo = t->lo[block];
        u.hi = t->hi[block];
    }
    PUSH(t->d->arena, t->trail, t->ntrail, t->cap_trail, u);
}

static void undo_to(Net *t, int mark)
{
    while (t->ntrail > mark) {
        const Undo *u = &t->trail[--t->ntrail];
        if (u->block >= 0) {
            t->lo[u->block] = u->lo;
            t->hi[u->block] = u->hi;
        } else {
            t->link[u->link].order = OPEN;
        }
    }
}

static int64_t round_down(int64_t x, int64_t to)
{
    return x < 0 ? -1 : x - x % to;
}

static bool narrow(Net *t, int i, int64_t lo, int64_t hi)
{
    int64_t align = t->d->b[i].align;

    if (lo <= t->lo[i] && hi >= t->hi[i])
        return true;
    save(t, i, -1);
    if (lo > t->lo[i])
        t->lo[i] = round_up(lo, align);
    if (hi < t->hi[i])
        t->hi[i] = round_down(hi, align);
    if (!t->queued[i]) {
        t->queued[i] = true;
        t->queue[t->nqueue++] = i;
    }
    return t->lo[i] <= t->hi[i];
}

static bool apply(Net *t, int k)
{
    const Link *l = &t->link[k];

    if (l->order == A_FIRST)
        return narrow(t, l->b, t->lo[l->a] + l->ab, INT64_MAX) &&
               narrow(t, l->a, 0, t->hi[l->b] - l->ab);
    return narrow(t, l->a, t->lo[l->b] + l->ba, INT64_MAX) &&
           narrow(t, l->b, 0, t->hi[l->a] - l->ba);
}

static bool decide(Net *t, int k, enum Order order)
{
    save(t, -1, k);
    t->link[k].order = order;
    return apply(t, k);
}

/* Room that an order leaves; negative: impossible. */
static int64_t room(const Net *t, const Link *l, enum Order order)
{
    int64_t step = order == A_FIRST ? l->ab : l->ba;
    int below = order == A_FIRST ? l->a : l->b;
    int above = order == A_FIRST ? l->b : l->a;

    return step == DSA_NEVER ? -1 : t->hi[above] - t->lo[below] - step;
}

static bool revise(Net *t, int k)
{
    Link *l = &t->link[k];
    bool a, b;

    if (l->order != OPEN)
        return apply(t, k);
    a = room(t, l, A_FIRST) >= 0;
    b = room(t, l, B_FIRST) >= 0;
    if (a && b)
        return true;
    return (a || b) && decide(t, k, a ? A_FIRST : B_FIRST);
}

static bool propagate(Net *t)
{
    bool ok = true;

    while (t->nqueue) {
        int i = t->queue[--t->nqueue];
        t->queued[i] = false;
        if (++t->steps % STEPS == 0 && ++t->nodes >= t->limit) {
            t->stop = true;
            ok = false;
        }
        for (int k = t->first[i]; k >= 0 && ok;
             k = t->link[k].a == i ? t->link[k].next_a : t->link[k].next_b)
            ok = revise(t, k);
    }
    return ok;
}

static bool clashes(const Net *t, const Link *l)
{
    bool a = l->ab != DSA_NEVER && t->lo[l->b] >= t->lo[l->a] + l->ab;
    bool b = l->ba != DSA_NEVER && t->lo[l->a] >= t->lo[l->b] + l->ba;

    return !a && !b;
}

/* The open pair that clashes at the lowest offsets and has least room;
 * preorder 1 takes the lowest clash, 2 the biggest. */
static int choose_link(const Net *t)
{
    int best = -1;
    int64_t least = 0;

    for (int k = 0; k < t->nlink; k++) {
        const Link *l = &t->link[k];
        int64_t key;
        if (l->order != OPEN || !clashes(t, l))
            continue;
        key = room(t, l, A_FIRST) + room(t, l, B_FIRST);
        if (t->order == 1)
            key = t->lo[l->a] + t->lo[l->b];
        else if (t->order == 2)
            key = -t->d->b[l->a].size - t->d->b[l->b].size;
        if (best < 0 || key < least) {
            best = k;
            least = key;
        }
    }
    return best;
}

static Verdict branch(Net *t)
{
    enum Order first;
    int k, mark = t->ntrail;

    if (++t->nodes >= t->limit || t->depth >= MAX_DEPTH ||
        (t->nodes % 1024 == 0 && dsa_out_of_time(t->d)))
        return V_LIMIT;
    k = choose_link(t);
    if (k < 0)
        return V_YES;
    first = room(t, &t->link[k], A_FIRST) >= room(t, &t->link[k], B_FIRST) ?
            A_FIRST : B_FIRST;
    for (int i = 0; i < 2; i++) {
        enum Order o = i == 0 ? first : first == A_FIRST ? B_FIRST : A_FIRST;
        bool ok = decide(t, k, o);
        /* even after a clash: propagate empties the queue */
        if (propagate(t) && ok) {
            Verdict v;
            t->depth++;
            v = branch(t);
            t->depth--;
            if (v != V_NO)
                return v;
        }
        if (t->stop)
            return V_LIMIT;
        undo_to(t, mark);
    }
    return V_NO;
}

static void add_links(Net *t)
{
    Dsa *d = t->d;

    for (int a = 0; a < d->n; a++)
        t->first[a] = -1;
    for (int a = 0; a < d->n; a++)
        for (int b = a + 1; b < d->n && t->nlink < MAX_LINKS; b++) {
            Link l = { .a = a, .b = b };
            if (!dsa_pair(d, a, b, &l.ab, &l.ba))
                continue;
            l.next_a = t->first[a];
            l.next_b = t->first[b];
            t->first[a] = t->first[b] = t->nlink;
            PUSH(d->arena, t->link, t->nlink, t->cap_link, l);
        }
}

/* All pairs open, every block anywhere in `cap` bytes. False when a block
 * has no place at all. */
static bool set_ranges(Net *t, int64_t cap)
{
    Dsa *d = t->d;

    t->ntrail = t->nqueue = 0;
    for (int k = 0; k < t->nlink; k++)
        t->link[k].order = OPEN;
    for (int i = 0; i < d->n; i++) {
        const Block *b = &d->b[i];
        int64_t hi = cap < b->bytes ? -1 : (cap - b->bytes) / d->unit;
        t->lo[i] = 0;
        t->hi[i] = round_down(hi, b->align);
        if (b->fixed >= 0) {
            if (b->fixed > hi || b->fixed % b->align)
                return false;
            t->lo[i] = t->hi[i] = b->fixed;
        }
        if (t->hi[i] < 0)
            return false;
        t->queue[t->nqueue++] = i;
        t->queued[i] = true;
    }
    return true;
}

static Net *new_net(Dsa *d)
{
    Net *t = NEW(d->arena, Net);

    t->d = d;
    t->lo = NEW_ARRAY(d->arena, int64_t, d->n + 1);
    t->hi = NEW_ARRAY(d->arena, int64_t, d->n + 1);
    t->first = NEW_ARRAY(d->arena, int, d->n + 1);
    t->queue = NEW_ARRAY(d->arena, int, d->n + 1);
    t->queued = NEW_ARRAY(d->arena, bool, d->n + 1);
    add_links(t);
    return t;
}

Verdict dsa_search_pairs(Dsa *d, int64_t cap, int order, long limit)
{
    Verdict v = V_NO;
    Net *t;

    if (!d->net)
        d->net = new_net(d);
    t = d->net;
    t->order = order;
    t->nodes = t->depth = 0;
    t->limit = limit;
    t->stop = false;
    if (t->nlink >= MAX_LINKS)
        t->nodes = limit;
    if (t->nodes == 0 && set_ranges(t, cap) && propagate(t))
        v = branch(t);
    if (t->stop || t->nlink >= MAX_LINKS)
        v = V_LIMIT;
    d->nodes += t->nodes + 1;
    if (v == V_YES)
        dsa_offer(d, t->lo);
    return v;
}
