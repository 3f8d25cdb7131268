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
#include "dsa_int.h"

#include <stdlib.h>
#include <string.h>

enum { FAR = 0x3f3f3f3f };      /* memset fills it in */

typedef struct Item {
    int32_t lo, hi;             /* sections */
    int32_t size, align;        /* units */
    int32_t min, max;           /* lowest and highest offset */
    int32_t id;                 /* block */
    int32_t twin;               /* equal buffers share it */
    int32_t below, below_top;   /* of a held one: lowest top, and whose */
    bool held;                  /* must rest on an unplaced buffer */
} Item;

typedef struct Part {           /* of time, independent of the others */
    Item *it;
    int n, lo, hi;
    int32_t tight;              /* highest floor + total of a section */
} Part;

typedef struct Sorted {         /* for the preorder */
    int64_t key[3];
    int64_t lo, size;
    int block;
} Sorted;

typedef struct Search {
    Dsa *d;
    int32_t cap;                /* units */
    int32_t *total;             /* per section: unplaced units */
    int32_t *level[32];         /* see spread */
    int32_t *next;              /* per section: lowest min above the level */
    int *log2;                  /* floor of it, per length */
    int32_t *top_of;            /* per block: min + size, FAR when placed */
    int32_t *ways;              /* per section: buffers that may start */
    int32_t *weight;           /* per section: 1 + times it overflowed */
    int32_t *cross;             /* per boundary: unplaced buffers across */
    int64_t *offset;
    Sorted *sorted;
    Item *stack;                /* items of the nodes on the path */
    size_t top, cap_items;
    Part *part;                 /* stack of the parts on the path */
    size_t top_part;
    int words;                  /* of a set of blocks */
    uint64_t *who, *rest;       /* why the last node failed */
    uint64_t *meets;            /* per block: the set of those it meets */
    uint64_t *sets;             /* stack of the sets on the path */
    size_t top_set;
    long nodes, limit;
} Search;

static Verdict solve_parts(Search *s, Item *it, int n);

/* ---- reasons ------------------------------------------------------------ */

/* Why a node failed: `who`, the items whose mins were used, and `rest`, the
 * held ones among them whose having to rest on an unplaced neighbour was
 * used. A placement that changed none of them cannot be to blame. */

static inline void set_bit(uint64_t *set, int i)
{
    set[i / 64] |= (uint64_t)1 << (i % 64);
}

static inline bool has_bit(const uint64_t *set, int i)
{
    return set[i / 64] >> (i % 64) & 1;
}

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

static inline bool meet(const Item *a, const Item *b)
{
    return a->lo < b->hi && b->lo < a->hi;
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

static void add_section(const Item *it, int n, int section, uint64_t *who)
{
    for (int i = 0; i < n; i++)
        if (it[i].lo <= section && section < it[i].hi)
            set_bit(who, it[i].id);
}

static Verdict blame_section(Search *s, const Item *it, int n, int section)
{
    s->weight[section]++;
    clear_set(s, s->who);
    clear_set(s, s->rest);
    add_section(it, n, section, s->who);
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

/* ---- one node ----------------------------------------------------------- */

static inline int32_t align_to(int32_t x, int32_t align)
{
    return align == 1 ? x : (x + align - 1) / align * align;
}

/* Lowest offset at which some item may start now; FAR if there is none. */
static int32_t find_level(const Item *it, int n)
{
    int32_t x = FAR;

    for (int i = 0; i < n; i++)
        if (!it[i].held && it[i].min < x)
            x = it[i].min;
    return x;
}

/* The lowest top that item i could rest on, and whose. */
static int32_t rest_on(const Item *it, int n, int i, int32_t *whose)
{
    int32_t low = FAR;

    for (int j = 0; j < n; j++)
        if (meet(&it[i], &it[j]) && j != i && it[j].min + it[j].size < low) {
            low = it[j].min + it[j].size;
            *whose = it[j].id;
        }
    return low;
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
            more = true;
        }
    }
    return -1;
}

/* Range minimum the cheap way round: spread(v over [lo, hi)) touches two
 * cells of the level of its length; settle pushes the levels down once. */
static void spread_begin(Search *s, int lo, int hi)
{
    for (int l = 0; l <= s->log2[hi - lo]; l++)
        memset(&s->level[l][lo], 0x3f,
               (size_t)(hi - lo) * sizeof(int32_t));
}

static inline void spread(Search *s, int lo, int hi, int32_t v)
{
    int l = s->log2[hi - lo];
    int32_t *a = &s->level[l][lo], *b = &s->level[l][hi - (1 << l)];

    *a = v < *a ? v : *a;
    *b = v < *b ? v : *b;
}

static void settle(Search *s, int lo, int hi)
{
    for (int l = s->log2[hi - lo]; l > 0; l--) {
        int half = 1 << (l - 1);
        const int32_t *from = s->level[l];
        int32_t *a = s->level[l - 1], *b = a + half;
        for (int k = lo; k <= hi - 2 * half; k++)
            a[k] = from[k] < a[k] ? from[k] : a[k];
        for (int k = lo; k <= hi - 2 * half; k++)
            b[k] = from[k] < b[k] ? from[k] : b[k];
    }
}

/* Fills in next (level 0) and ways. The section that cannot hold its
 * unplaced buffers any more, or -1. */
static int look_at_sections(Search *s, const Item *it, int n, int32_t x,
                            int lo, int hi)
{
    int32_t open = 0;

    for (int k = lo; k <= hi; k++)
        s->ways[k] = 0;
    spread_begin(s, lo, hi);
    for (int i = 0; i < n; i++) {
        if (it[i].min == x && !it[i].held) {
            s->ways[it[i].lo]++;
            s->ways[it[i].hi]--;
        } else {
            spread(s, it[i].lo, it[i].hi, it[i].min);
        }
    }
    settle(s, lo, hi);
    for (int k = lo; k < hi; k++) {
        open += s->ways[k];
        s->ways[k] = open;
        if (s->total[k] && (open ? x : s->next[k]) + s->total[k] > s->cap)
            return k;
    }
    return -1;
}

/* The section with the fewest ways on; leaving it empty at x is one of them
 * unless its sizes forbid. Sections that overflowed often come first, as in
 * constraint solvers (Boussemart et al., ECAI'04: dom/wdeg). */
static int choose_section(const Search *s, int lo, int hi, int32_t x)
{
    int best = -1;
    int64_t least = INT64_MAX;

    for (int k = lo; k < hi; k++) {
        int32_t gap;
        int64_t key;
        if (!s->ways[k])
            continue;
        gap = s->next[k] < FAR ? s->next[k] : x + 1;
        key = s->ways[k] + (gap + s->total[k] <= s->cap);
        key = key * key * FAR / s->weight[k];
        if (key < least) {
            least = key;
            best = k;
        }
    }
    return best;
}

/* Children live above their parents on one stack. */
static Item *push_items(Search *s, int n)
{
    Item *p = s->stack + s->top;

    if (s->top + (size_t)n > s->cap_items)
        return NULL;
    s->top += (size_t)n;
    return p;
}

/* Copy all items but `put`, which now sits at x; notes in `touched` whom
 * that changed. Index of an item without a place left, or -1. */
static int drop_onto(const Item *it, int n, int put, int32_t x, Item *out,
                     uint64_t *touched)
{
    const Item *p = &it[put];
    int32_t top = x + p->size;
    int bad = -1;

    for (int i = 0; i < n; i++) {
        Item *o;
        int32_t at;
        if (i == put)
            continue;
        o = out++;
        *o = it[i];
        if (!meet(o, p))
            continue;
        at = align_to(top, o->align);
        if (at > o->min || (at == o->min && o->held)) {
            o->min = at;
            o->held = false;
            set_bit(touched, o->id);
            if (at > o->max)
                bad = i - (i > put);
        }
    }
    return bad;
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
    size_t mark = s->top;
    Item *child = push_items(s, n);
    Verdict v;
    int bad;

    *dead = false;
    if (!child)
        return V_LIMIT;
    clear_set(s, touched);
    bad = drop_onto(it, n, put, x, child, touched);
    if (bad >= 0) {
        v = blame_item(s, child, n - 1, bad);
    } else {
        s->offset[p->id] = x;
        s->top_of[p->id] = FAR;
        count_item(s, p, -p->size);
        v = solve_parts(s, child, n - 1);
        count_item(s, p, p->size);
    }
    s->top = mark;
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

/* Try the items that may start at x in `section`, in preorder. */
static Verdict try_section(Search *s, Item *it, int n, int section, int32_t x,
                           Frame *f, bool *dead)
{
    int32_t twin = -1;

    *dead = false;
    for (int i = 0; i < n; i++) {
        Verdict v;
        if (!may_start(&it[i], section, x) || it[i].twin == twin)
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
        Verdict v;
        if (bad >= 0) {
            blame_item(s, it, n, bad);
            return conclude(s, f);
        }
        bad = look_at_sections(s, it, n, x, lo, hi);
        if (bad >= 0) {
            blame_section(s, it, n, bad);
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
        blame_section(s, it, n, section);
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
    Verdict v;

    s->top_set += 4 * w;
    memset(set, 0, 4 * w * sizeof *set);
    v = solve_frame(s, it, n, lo, hi, &f);
    s->top_set -= 4 * w;
    return v;
}

/* ---- independent parts -------------------------------------------------- */

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

static int32_t tightness(Search *s, const Item *it, int n, int lo, int hi)
{
    int32_t t = 0;

    spread_begin(s, lo, hi);
    for (int i = 0; i < n; i++)
        spread(s, it[i].lo, it[i].hi, it[i].min);
    settle(s, lo, hi);
    for (int k = lo; k < hi; k++)
        if (s->next[k] < FAR && s->next[k] + s->total[k] > t)
            t = s->next[k] + s->total[k];
    return t;
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

static Verdict solve_parts(Search *s, Item *it, int n)
{
    int lo, hi, np;
    size_t mark = s->top, mark_part = s->top_part;
    Item *copy;
    Part *part;
    Verdict v = V_YES;

    if (n == 0)
        return V_YES;
    np = find_parts(s, it, n, &lo, &hi);
    if (np == 1)
        return solve(s, it, n, lo, hi);
    copy = push_items(s, n);
    if (!copy)
        return V_LIMIT;
    part = s->part + s->top_part;
    s->top_part += (size_t)np;
    np = make_parts(s, it, n, lo, hi, copy, part);
    qsort(part, (size_t)np, sizeof *part, part_cmp);
    for (int i = 0; i < np && v == V_YES; i++)
        v = solve(s, part[i].it, part[i].n, part[i].lo, part[i].hi);
    s->top = mark;
    s->top_part = mark_part;
    return v;
}

/* ---- the call ----------------------------------------------------------- */

/* What a preorder compares, most important first, larger first. */
static void preorder_key(const Dsa *d, int order, int i, int64_t total,
                         int64_t key[3])
{
    static const int perm[3][3] = { { 0, 2, 1 }, { 1, 2, 0 }, { 1, 0, 2 } };
    const Block *b = &d->b[i];
    int64_t v[3];

    v[0] = b->hi - b->lo;
    v[1] = total;
    v[2] = b->size * v[0];
    for (int k = 0; k < 3; k++)
        key[k] = v[perm[order % 3][k]];
}

static int sorted_cmp(const void *pa, const void *pb)
{
    const Sorted *a = pa, *b = pb;

    for (int k = 0; k < 3; k++)
        if (a->key[k] != b->key[k])
            return a->key[k] > b->key[k] ? -1 : 1;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    if (a->lo != b->lo)
        return a->lo < b->lo ? -1 : 1;
    return a->block - b->block;
}

static bool twins(const Block *a, const Block *b)
{
    return a->lo == b->lo && a->hi == b->hi && a->size == b->size &&
           a->align == b->align && a->bytes == b->bytes;
}

static void load_items(Search *s, int64_t cap, int order, Item *it)
{
    Dsa *d = s->d;
    Sorted *r = s->sorted;

    s->cap = 0;
    for (int k = 0; k < d->nsec; k++)
        s->total[k] = 0;
    for (int i = 0; i < d->n; i++)
        for (int k = d->b[i].lo; k < d->b[i].hi; k++)
            s->total[k] += (int32_t)d->b[i].size;
    for (int i = 0; i < d->n; i++) {
        int32_t most = 0;
        for (int k = d->b[i].lo; k < d->b[i].hi; k++)
            if (s->total[k] > most)
                most = s->total[k];
        preorder_key(d, order, i, most, r[i].key);
        r[i].size = d->b[i].size;
        r[i].lo = d->b[i].lo;
        r[i].block = i;
    }
    qsort(r, (size_t)d->n, sizeof *r, sorted_cmp);
    for (int i = 0; i < d->n; i++) {
        const Block *b = &d->b[r[i].block];
        bool same = i > 0 && twins(b, &d->b[it[i - 1].id]);
        it[i] = (Item){ .lo = b->lo, .hi = b->hi, .id = r[i].block,
                        .size = (int32_t)b->size, .align = (int32_t)b->align,
                        .twin = same ? it[i - 1].twin : i };
        it[i].max = (int32_t)((cap - b->bytes) / d->unit);
        if (cap < b->bytes)
            it[i].max = -1;
        if (it[i].max + it[i].size > s->cap)
            s->cap = it[i].max + it[i].size;
    }
}

/* Most items on the stack at once: a path, with one copy per split. */
static size_t stack_items(size_t n)
{
    size_t most = n * (n + 1) / 2 * 3 + 4 * n;

    return most < 4000000 ? most : 4000000;
}

static Search *new_search(Dsa *d)
{
    Search *s = NEW(d->arena, Search);

    s->d = d;
    s->total = NEW_ARRAY(d->arena, int32_t, d->nsec + 2);
    s->log2 = NEW_ARRAY(d->arena, int, d->nsec + 2);
    for (int k = 2; k <= d->nsec; k++)
        s->log2[k] = s->log2[k / 2] + 1;
    for (int l = 0; l <= s->log2[d->nsec]; l++)
        s->level[l] = NEW_ARRAY(d->arena, int32_t, d->nsec + 2);
    s->next = s->level[0];
    s->top_of = NEW_ARRAY(d->arena, int32_t, d->n + 1);
    s->ways = NEW_ARRAY(d->arena, int32_t, d->nsec + 2);
    s->cross = NEW_ARRAY(d->arena, int32_t, d->nsec + 2);
    s->offset = NEW_ARRAY(d->arena, int64_t, d->n + 1);
    s->weight = NEW_ARRAY(d->arena, int32_t, d->nsec + 2);
    for (int k = 0; k < d->nsec; k++)
        s->weight[k] = 1;
    s->words = d->n / 64 + 1;
    s->who = NEW_ARRAY(d->arena, uint64_t, s->words);
    s->rest = NEW_ARRAY(d->arena, uint64_t, s->words);
    s->sets = NEW_ARRAY(d->arena, uint64_t, 4 * s->words * (d->n + 1));
    s->meets = NEW_ARRAY(d->arena, uint64_t, s->words * d->n);
    for (int i = 0; i < d->n; i++)
        for (int j = 0; j < d->n; j++)
            if (i != j && block_meets(&d->b[i], &d->b[j]))
                set_bit(s->meets + i * s->words, j);
    s->sorted = NEW_ARRAY(d->arena, Sorted, d->n + 1);
    s->cap_items = stack_items((size_t)d->n);
    s->stack = NEW_ARRAY(d->arena, Item, s->cap_items);
    s->part = NEW_ARRAY(d->arena, Part, 2 * d->n + d->nsec + 2);
    return s;
}

Verdict dsa_search(Dsa *d, int64_t cap, int order, long limit)
{
    Search *s;
    Item *it;
    Verdict v;

    if (cap / d->unit >= FAR / 2)
        return V_LIMIT;
    if (!d->search)
        d->search = new_search(d);
    s = d->search;
    s->nodes = 0;
    s->limit = limit;
    s->top = s->top_part = s->top_set = 0;
    for (int k = 0; k < d->nsec; k++)           /* old overflows fade */
        s->weight[k] = 1 + s->weight[k] * 9 / 10;
    it = push_items(s, d->n);
    load_items(s, cap, order, it);
    for (int i = 0; i < d->n; i++)
        if (it[i].max < 0)
            return V_NO;
    v = solve_parts(s, it, d->n);
    d->nodes += s->nodes;
    if (v == V_YES)
        dsa_offer(d, s->offset);
    return v;
}
