/* dsa_load.c - sets the exact search up: preorders, items, workspace.
 *
 * The preorders are MiniMalloc's (Moffitt, ASPLOS'23): lexicographic orders
 * of width (lifetime), area and total (the fullest section lived through).
 */
#include "dsa_search.h"

#include <stdlib.h>

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

static int64_t gcd64(int64_t a, int64_t b)
{
    return b ? gcd64(b, a % b) : a;
}

static int32_t coarse(const Search *s, int64_t size)
{
    return (int32_t)((size + s->scale - 1) / s->scale);
}

static Item make_item(const Search *s, int block, int64_t cap)
{
    const Dsa *d = s->d;
    const Block *b = &d->b[block];
    int64_t align = b->align / gcd64(b->align, s->scale);

    return (Item){
        .lo = b->lo, .hi = b->hi, .id = block, .below = -1,
        .size = coarse(s, b->size),
        .align = (int32_t)(align < FAR ? align : FAR),
        .max = cap < b->bytes ? -1 :
               (int32_t)((cap - b->bytes) / (d->unit * s->scale))
    };
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
            s->total[k] += coarse(s, d->b[i].size);
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
        it[i] = make_item(s, r[i].block, cap);
        it[i].rank = it[i].twin = i;
        if (i > 0 && twins(&d->b[it[i].id], &d->b[it[i - 1].id]))
            it[i].twin = it[i - 1].twin;
        if (it[i].max + it[i].size > s->cap)
            s->cap = it[i].max + it[i].size;
    }
}

/* Chunks for the items of some levels of the path; all of one size. */
static ItemChunk *first_chunk(Dsa *d)
{
    size_t cap = d->n < 250 ? 4000 : 16 * (size_t)d->n;
    ItemChunk *c = arena_alloc(d->arena, sizeof *c + cap * sizeof *c->item);

    c->cap = cap;
    return c;
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
    s->load = NEW_ARRAY(d->arena, int32_t, d->nsec + 2);
    s->moved = NEW_ARRAY(d->arena, Item, d->n + 1);
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
    memo_init(s);
    s->first = s->chunk = first_chunk(d);
    s->part = NEW_ARRAY(d->arena, Part, 2 * d->n + d->nsec + 2);
    return s;
}

Verdict dsa_search(Dsa *d, int64_t cap, int order, long limit)
{
    Search *s;
    Item *it;
    Verdict v;

    if (!d->search)
        d->search = new_search(d);
    s = d->search;
    s->scale = cap / d->unit / (FAR / 2) + 1;
    s->nodes = 0;
    s->limit = limit;
    s->capacity = cap;
    s->chunk = s->first;
    s->chunk->used = 0;
    s->top_part = s->top_set = 0;
    for (int k = 0; k < d->nsec; k++)           /* old overflows fade */
        s->weight[k] = 1 + s->weight[k] * 9 / 10;
    it = push_items(s, d->n);
    load_items(s, cap, order, it);
    for (int i = 0; i < d->n; i++)
        if (it[i].max < 0)
            return V_NO;
    v = solve_parts(s, it, d->n);
    d->nodes += s->nodes + d->n / 16 + 1;       /* loading counts too */
    for (int i = 0; i < d->n && v == V_YES; i++)
        s->offset[i] *= s->scale;
    if (v == V_YES)
        dsa_offer(d, s->offset);
    return v == V_NO && s->scale > 1 ? V_LIMIT : v;
}
