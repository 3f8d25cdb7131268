/* dsa_search.c - exact search for plain instances (no declared overlaps,
 * nothing fixed): is there a plan within a capacity?
 *
 * Plans are built bottom up. It is enough to look at plans in which no
 * buffer can move down, so each one rests on the floor or on a buffer, and
 * its lowest possible offset (min) is the highest top among the placed ones
 * that it meets, as in MiniMalloc (Moffitt, ASPLOS'23). What differs is the
 * branching: at the lowest level x that any buffer can start at, take the
 * section with the fewest ways to go on there and try each buffer that can
 * start at x and covers that section; last, that none of them does. Those
 * buffers are then `held`: in a pushed-down plan they rest on something that
 * is not placed yet, which raises their min. Pruned by
 *  - a section's lowest min plus its unplaced sizes, against the capacity;
 *  - equal buffers: only the first of them is tried;
 *  - independent parts in time, solved one by one; a part that fails without
 *    having been touched by the last placement fails the whole node.
 */
#include "dsa_search.h"

#include <stdlib.h>
#include <string.h>

/* Why a node failed: `who`, the items whose mins were used, and `rest`, the
 * held ones among them whose having to rest on an unplaced neighbour was
 * used. A placement that changed none of them cannot be to blame. */

static bool disjoint(const Search *s, const uint64_t *a, const uint64_t *b)
{
    for (int k = 0; k < s->words; k++)
        if (a[k] & b[k])
            return false;
    return true;
}

static void unite(const Search *s, uint64_t *to, const uint64_t *from)
{
    for (int k = 0; k < s->words; k++)
        to[k] |= from[k];
}

static void clear_set(const Search *s, uint64_t *set)
{
    memset(set, 0, (size_t)s->words * sizeof *set);
}

/* The min of a held item depends on all unplaced items that it meets. */
static void close_reason(Search *s, const Item *it, int n)
{
    bool more = true;

    while (more) {
        more = false;
        for (int i = 0; i < n; i++) {
            if (!it[i].held || !has_bit(s->who, it[i].id) ||
                has_bit(s->rest, it[i].id))
                continue;
            set_bit(s->rest, it[i].id);
            more = true;
            for (int j = 0; j < n; j++)
                if (meet(&it[i], &it[j]))
                    set_bit(s->who, it[j].id);
        }
    }
}

/* The items of a section with a min of `from` or more. */
static Verdict blame_section(Search *s, const Item *it, int n, Overload o)
{
    clear_set(s, s->who);
    clear_set(s, s->rest);
    for (int i = 0; i < n; i++)
        if (it[i].lo <= o.section && o.section < it[i].hi &&
            it[i].min >= o.from)
            set_bit(s->who, it[i].id);
    close_reason(s, it, n);
    return V_NO;
}

static Verdict blame_item(Search *s, const Item *it, int n, int i)
{
    clear_set(s, s->who);
    clear_set(s, s->rest);
    set_bit(s->who, it[i].id);
    close_reason(s, it, n);
    return V_NO;
}

static inline int32_t align_to(int32_t x, int32_t align)
{
    return align == 1 ? x : (x + align - 1) / align * align;
}

/* Lowest offset at which some item may start now; FAR if there is none. */
static int32_t find_level(const Item *it, int n)
{
    for (int i = 0; i < n; i++)
        if (!it[i].held)
            return it[i].min;
    return FAR;
}

/* The lowest top that item i could rest on, and whose. */
static int32_t rest_on(const Item *it, int n, int i, int32_t *whose)
{
    int32_t low = FAR;

    for (int j = 0; j < n && it[j].min < low; j++)
        if (meet(&it[i], &it[j]) && j != i && it[j].min + it[j].size < low) {
            low = it[j].min + it[j].size;
            *whose = it[j].id;
        }
    return low;
}

/* Put item i, whose min has risen, in its place. */
static void sink(Item *it, int n, int i)
{
    Item moved = it[i];

    for (; i + 1 < n && it[i + 1].min < moved.min; i++)
        it[i] = it[i + 1];
    it[i] = moved;
}

/* A held item rests on an unplaced neighbour. Tops only rise on the way
 * down, so as long as the lowest one has not, it is the lowest. Index of an
 * item that cannot rest, or -1. */
static int raise_held(Search *s, Item *it, int n)
{
    bool more = true;

    for (int i = 0; i < n; i++)
        s->top_of[it[i].id] = it[i].min + it[i].size;
    while (more) {
        more = false;
        for (int i = 0; i < n; i++) {
            Item *p = &it[i];
            int32_t low;
            if (!p->held ||
                (p->below >= 0 && s->top_of[p->below] == p->below_top))
                continue;
            p->below_top = rest_on(it, n, i, &p->below);
            low = align_to(p->below_top, p->align);
            if (low <= p->min)
                continue;
            p->min = low;
            s->top_of[p->id] = low + p->size;
            if (low > p->max)
                return i;
            sink(it, n, i--);
            more = true;
        }
    }
    return -1;
}

Item *push_items(Search *s, int n)
{
    ItemChunk *c = s->chunk;

    if (c->cap - c->used < (size_t)n) {
        if (!c->next) {
            c->next = arena_alloc(s->d->arena, sizeof *c +
                                  c->cap * sizeof *c->item);
            c->next->cap = c->cap;
        }
        s->chunk = c = c->next;
        c->used = 0;
    }
    c->used += (size_t)n;
    return c->item + c->used - n;
}

static ItemMark mark_items(const Search *s)
{
    return (ItemMark){ s->chunk, s->chunk->used };
}

static void pop_items(Search *s, ItemMark m)
{
    s->chunk = m.chunk;
    s->chunk->used = m.used;
}

/* The n items of `out` and the m of s->moved, sorted, together in `out`. */
static void merge_moved(const Search *s, Item *out, int n, int m)
{
    const Item *moved = s->moved;

    while (m > 0) {
        if (n > 0 && out[n - 1].min > moved[m - 1].min) {
            out[n + m - 1] = out[n - 1];
            n--;
        } else {
            out[n + m - 1] = moved[m - 1];
            m--;
        }
    }
}

/* Copy all items but `put`, which now sits at x; notes in `touched` whom
 * that changed. Index of an item without a place left, or -1. */
static int drop_onto(Search *s, const Item *it, int n, int put, int32_t x,
                     Item *out, uint64_t *touched)
{
    const Item *p = &it[put];
    int32_t top = x + p->size;
    int kept = 0, m = 0;

    for (int i = 0; i < n; i++) {
        Item o = it[i];
        int32_t at = align_to(top, o.align);
        int k = m;
        if (i == put)
            continue;
        if (!meet(&o, p) || at < o.min || (at == o.min && !o.held)) {
            out[kept++] = o;
            continue;
        }
        o.min = at;
        o.held = false;
        set_bit(touched, o.id);
        for (; k > 0 && s->moved[k - 1].min > at; k--)
            s->moved[k] = s->moved[k - 1];
        s->moved[k] = o;
        m++;
    }
    merge_moved(s, out, kept, m);
    for (int i = 0; i < n - 1; i++)
        if (out[i].min > out[i].max)
            return i;
    return -1;
}

static void count_item(Search *s, const Item *p, int32_t size)
{
    for (int k = p->lo; k < p->hi; k++)
        s->total[k] += size;
}

/* V_NO with *dead: nothing that p could do would have helped. */
static Verdict try_item(Search *s, const Item *it, int n, int put, int32_t x,
                        uint64_t *touched, bool *dead)
{
    const Item *p = &it[put];
    ItemMark mark = mark_items(s);
    Item *child = push_items(s, n);
    Verdict v;
    int bad;

    *dead = false;
    clear_set(s, touched);
    bad = drop_onto(s, it, n, put, x, child, touched);
    if (bad >= 0) {
        v = blame_item(s, child, n - 1, bad);
    } else {
        s->offset[p->id] = x;
        s->top_of[p->id] = FAR;
        count_item(s, p, -p->size);
        v = solve_parts(s, child, n - 1);
        count_item(s, p, p->size);
    }
    pop_items(s, mark);
    if (v == V_NO)
        *dead = disjoint(s, touched, s->who) &&
                disjoint(s, s->meets + (size_t)p->id * (size_t)s->words,
                         s->rest);
    return v;
}

static bool may_start(const Item *p, int section, int32_t x)
{
    return !p->held && p->min == x && p->lo <= section && section < p->hi;
}

/* Something must be able to get under a held item, or it would move down.
 * Index of an item without that, or -1. */
static int hold(Item *it, int n, int section, int32_t x, uint64_t *held)
{
    for (int i = 0; i < n; i++) {
        bool reason = false;
        if (!may_start(&it[i], section, x))
            continue;
        it[i].held = true;
        it[i].below = -1;
        set_bit(held, it[i].id);
        for (int j = 0; j < n && !reason; j++)
            reason = j != i && it[j].min < x + it[i].size &&
                     meet(&it[i], &it[j]);
        if (!reason)
            return i;
    }
    return -1;
}

typedef struct Frame {          /* sets of one node */
    uint64_t *who, *rest;       /* reasons of the ways that failed */
    uint64_t *held;             /* items that this node holds */
    uint64_t *touched;          /* scratch */
} Frame;

/* Index of the next way on in preorder after `rank`, or -1. */
static int next_way(const Item *it, int n, int section, int32_t x, int rank)
{
    int best = -1;

    for (int i = 0; i < n && it[i].min <= x; i++)
        if (it[i].rank > rank && may_start(&it[i], section, x) &&
            (best < 0 || it[i].rank < it[best].rank))
            best = i;
    return best;
}

/* Try the items that may start at x in `section`, in preorder. */
static Verdict try_section(Search *s, Item *it, int n, int section, int32_t x,
                           Frame *f, bool *dead)
{
    int32_t twin = -1;
    int i = -1, rank = -1;

    *dead = false;
    while ((i = next_way(it, n, section, x, rank)) >= 0) {
        Verdict v;
        rank = it[i].rank;
        if (it[i].twin == twin)
            continue;
        twin = it[i].twin;
        v = try_item(s, it, n, i, x, f->touched, dead);
        if (v != V_NO || *dead)
            return v;
        unite(s, f->who, s->who);
        unite(s, f->rest, s->rest);
    }
    return V_NO;
}

/* The state itself fails: with this node's own ways if they matter. */
static Verdict conclude(Search *s, const Frame *f)
{
    if (!disjoint(s, f->held, s->rest)) {
        unite(s, s->who, f->who);
        unite(s, s->rest, f->rest);
    }
    return V_NO;
}

static Verdict solve_frame(Search *s, Item *it, int n, int lo, int hi,
                           Frame *f)
{
    for (;;) {
        bool dead;
        int section, bad = raise_held(s, it, n);
        int32_t x = find_level(it, n);
        Overload o;
        Verdict v;
        if (bad >= 0) {
            blame_item(s, it, n, bad);
            return conclude(s, f);
        }
        o = look_at_sections(s, it, n, x, lo, hi);
        if (o.section >= 0) {
            s->weight[o.section]++;
            blame_section(s, it, n, o);
            return conclude(s, f);
        }
        if (++s->nodes >= s->limit ||
            (s->nodes % 1024 == 0 && dsa_out_of_time(s->d)))
            return V_LIMIT;
        section = choose_section(s, lo, hi, x);
        v = try_section(s, it, n, section, x, f, &dead);
        if (v != V_NO)
            return v;
        if (dead)
            return conclude(s, f);
        blame_section(s, it, n, (Overload){ section, 0 });
        unite(s, f->who, s->who);
        unite(s, f->rest, s->rest);
        bad = hold(it, n, section, x, f->held);
        if (bad >= 0) {
            blame_item(s, it, n, bad);
            return conclude(s, f);
        }
    }
}

static Verdict solve(Search *s, Item *it, int n, int lo, int hi)
{
    size_t w = (size_t)s->words;
    uint64_t *set = s->sets + s->top_set;
    Frame f = { set, set + w, set + 2 * w, set + 3 * w };
    uint64_t key[2];
    Verdict v;

    memo_key(it, n, key);
    if (memo_find(s, n, key))
        return V_NO;
    s->top_set += 4 * w;
    memset(set, 0, 4 * w * sizeof *set);
    v = solve_frame(s, it, n, lo, hi, &f);
    s->top_set -= 4 * w;
    if (v == V_NO)
        memo_put(s, n, key);
    return v;
}

/* Boundaries that no unplaced item crosses separate the parts. */
static int find_parts(Search *s, const Item *it, int n, int *from, int *to)
{
    int lo = INT32_MAX, hi = 0, parts = 1, open = 0;

    for (int i = 0; i < n; i++) {
        lo = it[i].lo < lo ? it[i].lo : lo;
        hi = it[i].hi > hi ? it[i].hi : hi;
    }
    for (int k = lo; k <= hi; k++)
        s->cross[k] = 0;
    for (int i = 0; i < n; i++) {
        s->cross[it[i].lo + 1]++;
        s->cross[it[i].hi]--;
    }
    for (int k = lo + 1; k < hi; k++) {
        open += s->cross[k];
        s->cross[k] = open;
        parts += open == 0;
    }
    *from = lo;
    *to = hi;
    return parts;
}

/* Copies the items of each part, in order, side by side. */
static int make_parts(Search *s, const Item *it, int n, int lo, int hi,
                      Item *out, Part *part)
{
    int np = 0;

    while (lo < hi) {
        Part *p = &part[np];
        int end = lo + 1;
        while (end < hi && s->cross[end])
            end++;
        *p = (Part){ .it = out, .lo = lo, .hi = end };
        for (int i = 0; i < n; i++)
            if (it[i].lo >= lo && it[i].lo < end)
                p->it[p->n++] = it[i];
        out += p->n;
        lo = end;
        np += p->n > 0;
    }
    for (int i = 0; i < np; i++)
        part[i].tight = tightness(s, part[i].it, part[i].n, part[i].lo,
                                  part[i].hi);
    return np;
}

static int part_cmp(const void *pa, const void *pb)
{
    const Part *a = pa, *b = pb;

    if (a->tight != b->tight)
        return a->tight > b->tight ? -1 : 1;
    return a->lo - b->lo;
}

Verdict solve_parts(Search *s, Item *it, int n)
{
    int lo, hi, np;
    ItemMark mark = mark_items(s);
    size_t mark_part = s->top_part;
    Part *part;
    Verdict v = V_YES;

    if (n == 0)
        return V_YES;
    np = find_parts(s, it, n, &lo, &hi);
    if (np == 1)
        return solve(s, it, n, lo, hi);
    part = s->part + s->top_part;
    s->top_part += (size_t)np;
    np = make_parts(s, it, n, lo, hi, push_items(s, n), part);
    qsort(part, (size_t)np, sizeof *part, part_cmp);
    for (int i = 0; i < np && v == V_YES; i++)
        v = solve(s, part[i].it, part[i].n, part[i].lo, part[i].hi);
    pop_items(s, mark);
    s->top_part = mark_part;
    return v;
}

