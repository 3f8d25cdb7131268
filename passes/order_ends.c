/* order_ends.c - steps that may as well run first, and last.
 *
 * What walk_settle runs at once from the beginning is the head of an optimal
 * order, if there is one within the cap. Backwards in time the same holds:
 * let T be the steps that have run; a step k of T that no step of T needs,
 * fits when run last, and without which no more is live, may run last of T.
 * So may a chain of such steps that ends with no more live than it began.
 *
 * One thing is not the same backwards: a step that would overwrite what k
 * reads cannot any more, because k reads it later. Such steps k are left
 * alone, unless they come after that step anyway.
 */
#include "order.h"

typedef struct Ends {
    Walk *w;
    int64_t cap;
    const bool *head;           /* by step: fixed already */
    int *tail, ntail;           /* the last one first */
    bool *ran;
    int *mark, stamp;           /* steps that come before one */
    Arena *a;
} Ends;

/* Does step j come before k? */
static bool comes_before(Ends *e, int j, int k, int *stack)
{
    const Deps *d = &e->w->deps;
    int n = 0;

    e->stamp++;
    stack[n++] = k;
    while (n) {
        int s = stack[--n];
        for (int i = d->pfirst[s]; i < d->pfirst[s + 1]; i++) {
            int p = d->pred[i];
            if (p == j)
                return true;
            if (e->mark[p] == e->stamp || d->pos[p] < d->pos[j])
                continue;
            e->mark[p] = e->stamp;
            stack[n++] = p;
        }
    }
    return false;
}

static bool overwrites(const Step *step, int x)
{
    for (int i = 0; i < step->nover; i++)
        if (step->over[i] == x)
            return true;
    return false;
}

/* May a step that ran overwrite what k reads? */
static bool is_in_the_way(Ends *e, int k)
{
    const Storage *s = e->w->s;

    for (int i = 0; i < s->step[k].nread; i++) {
        int x = s->step[k].read[i];
        for (int r = 0; r < s->store[x].nreader; r++) {
            int j = s->store[x].reader[r];
            if (j != k && e->ran[j] && overwrites(&s->step[j], x) &&
                !comes_before(e, j, k, e->w->path))
                return true;
        }
    }
    return false;
}

/* k ran, nothing that needs it did, and it may be moved. */
static bool is_last(Ends *e, int k)
{
    const Deps *d = &e->w->deps;

    if (!e->ran[k] || e->head[k])
        return false;
    for (int i = d->first[k]; i < d->first[k + 1]; i++)
        if (e->ran[d->succ[i]])
            return false;
    return !is_in_the_way(e, k);
}

/* Takes k out; false, and nothing is done, when it would not fit. */
static bool take_out(Ends *e, int k)
{
    int64_t after;

    walk_undo(e->w, k);
    e->ran[k] = false;
    if (walk_peek(e->w, k, &after) <= e->cap) {
        e->tail[e->ntail++] = k;
        return true;
    }
    walk_run(e->w, k);
    e->ran[k] = true;
    return false;
}

static void put_back(Ends *e)
{
    int k = e->tail[--e->ntail];

    walk_run(e->w, k);
    e->ran[k] = true;
}

/* Of the steps that k needs, the one that can go and leaves least. */
static int before_in_chain(Ends *e, int k)
{
    const Deps *d = &e->w->deps;
    int best = -1;
    int64_t least = 0;

    for (int i = d->pfirst[k]; i < d->pfirst[k + 1]; i++) {
        int p = d->pred[i];
        int64_t now;
        if (!is_last(e, p) || !take_out(e, p))
            continue;
        now = e->w->live.now;
        put_back(e);
        if (best < 0 || now < least || (now == least && p > best)) {
            best = p;
            least = now;
        }
    }
    return best;
}

/* A chain that ends in k moves to the tail when that does not raise what is
 * live. */
static bool move_chain(Ends *e, int k)
{
    enum { LONGEST = 32 };
    int64_t start = e->w->live.now;
    int kept = e->ntail;

    while (k >= 0 && e->ntail - kept < LONGEST) {
        if (!take_out(e, k))
            break;
        if (e->w->live.now <= start)
            return true;
        k = before_in_chain(e, k);
    }
    while (e->ntail > kept)
        put_back(e);
    return false;
}

static void find_tail(Ends *e)
{
    Walk *w = e->w;
    const Deps *d = &w->deps;
    bool more = true;

    for (int p = 0; p < d->n; p++) {
        int k = d->topo[p];
        e->ran[k] = true;
        if (!e->head[k])
            walk_run(w, k);
    }
    while (more) {
        more = false;
        for (int p = d->n - 1; p >= 0; p--)
            if (is_last(e, d->topo[p]) && move_chain(e, d->topo[p]))
                more = true;
    }
}

/* The steps of `list` one after the other; what has no number in `list`
 * comes between the two ends. */
static int end_edges(const Deps *d, const int *list, int n, bool head,
                     const bool *fixed, Edge *edge)
{
    int count = 0;

    for (int i = 0; i + 1 < n; i++)
        edge[count++] = (Edge){ list[i], list[i + 1] };
    for (int k = 0; n && k < d->n; k++) {
        bool outer = !fixed[k];
        const int *near = head ? d->pred : d->succ;
        const int *first = head ? d->pfirst : d->first;
        for (int i = first[k]; outer && i < first[k + 1]; i++)
            outer = fixed[near[i]];
        if (outer)
            edge[count++] = head ? (Edge){ list[n - 1], k }
                                 : (Edge){ k, list[0] };
    }
    return count;
}

int order_ends(Walk *w, int64_t cap, Edge **edge, Arena *a)
{
    int n = w->deps.n, nhead, count;
    int *head = NEW_ARRAY(a, int, n + 1), *tail = NEW_ARRAY(a, int, n + 1);
    bool *fixed = NEW_ARRAY(a, bool, n + 1);
    Ends e = { .w = w, .cap = cap, .head = fixed, .a = a,
               .tail = NEW_ARRAY(a, int, n + 1),
               .ran = NEW_ARRAY(a, bool, n + 1),
               .mark = NEW_ARRAY(a, int, n + 1) };

    walk_settle(w, cap);
    nhead = w->done;
    walk_order(w, w->at, head);
    for (int i = 0; i < nhead; i++)
        fixed[head[i]] = true;
    if (nhead < n && !w->s->g->state)
        find_tail(&e);
    for (int i = 0; i < e.ntail; i++) {
        tail[i] = e.tail[e.ntail - 1 - i];
        fixed[tail[i]] = true;
    }
    *edge = NEW_ARRAY(a, Edge, 4 * n + 4);
    count = end_edges(&w->deps, head, nhead, true, fixed, *edge);
    count += end_edges(&w->deps, tail, e.ntail, false, fixed, *edge + count);
    return count;
}
