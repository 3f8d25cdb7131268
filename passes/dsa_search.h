/* dsa_search.h - the exact search for plain instances: what its files share.
 *
 *  dsa_search.c    branching, independent parts, reasons for failure
 *  dsa_sections.c  per section: can it still hold its buffers, how many ways
 *                  on are there
 *  dsa_memo.c      states known to fail
 *  dsa_load.c      preorders, workspace, the entry dsa_search
 */
#ifndef MCUFC_DSA_SEARCH_H
#define MCUFC_DSA_SEARCH_H

#include "dsa_int.h"

/* No offset: above all capacities, its double fits, memset can fill it in */
enum { FAR = 0x3f3f3f3f };

/* An unplaced buffer at one node. A node's items are sorted by min. */
typedef struct Item {
    int32_t lo, hi;             /* sections */
    int32_t size, align;        /* units */
    int32_t min, max;           /* lowest and highest offset */
    int32_t id;                 /* block */
    int32_t rank, twin;         /* preorder; equal buffers share twin */
    int32_t below, below_top;   /* of a held one: lowest top, and whose */
    bool held;                  /* must rest on an unplaced buffer */
} Item;

typedef struct Part {           /* of time, independent of the others */
    Item *it;
    int n, lo, hi;
    int32_t tight;              /* highest floor + total of a section */
} Part;

/* The items of the nodes on the path, children above their parents. */
typedef struct ItemChunk {
    struct ItemChunk *next;
    size_t used, cap;
    Item item[];
} ItemChunk;

typedef struct ItemMark {
    ItemChunk *chunk;
    size_t used;
} ItemMark;

typedef struct Sorted {         /* for the preorder */
    int64_t key[3];
    int64_t lo, size;
    int block;
} Sorted;

typedef struct Memo Memo;

typedef struct Search {
    Dsa *d;
    int64_t scale;              /* units are too many: coarser, no proofs */
    int32_t cap;                /* units (scaled, as all below) */
    int32_t *total;             /* per section: unplaced units */
    int32_t *level[32];         /* see spread */
    int32_t *next;              /* per section: lowest min above the level */
    int32_t *ways;              /* per section: buffers that may start */
    int32_t *load;              /* per section, scratch */
    int32_t *weight;            /* per section: 1 + times it overflowed */
    int32_t *cross;             /* per boundary: unplaced buffers across */
    int *log2;                  /* floor of it, per length */
    int32_t *top_of;            /* per block: min + size, FAR when placed */
    int64_t *offset;
    Sorted *sorted;
    Item *moved;                /* scratch */
    ItemChunk *first, *chunk;   /* all; the one in use */
    Part *part;                 /* stack of the parts on the path */
    size_t top_part;
    int words;                  /* of a set of blocks */
    uint64_t *who, *rest;       /* why the last node failed */
    uint64_t *meets;            /* per block: the set of those it meets */
    uint64_t *sets;             /* stack of the sets on the path */
    size_t top_set;
    int64_t capacity;           /* bytes */
    Memo *memo;                 /* see dsa_memo.c */
    uint64_t *memo_sets;        /* who and rest of each */
    long nodes, limit;
} Search;

static inline bool meet(const Item *a, const Item *b)
{
    return a->lo < b->hi && b->lo < a->hi;
}

static inline void set_bit(uint64_t *set, int i)
{
    set[i / 64] |= (uint64_t)1 << (i % 64);
}

static inline bool has_bit(const uint64_t *set, int i)
{
    return set[i / 64] >> (i % 64) & 1;
}

/* A section in [lo, hi) that cannot hold its unplaced items, and the lowest
 * min of those that prove it; -1 if there is none. */
typedef struct Overload {
    int section;
    int32_t from;
} Overload;

/* Sets s->ways and s->next for level x. */
Overload look_at_sections(Search *s, const Item *it, int n, int32_t x,
                          int lo, int hi);
int choose_section(const Search *s, int lo, int hi, int32_t x);
/* Highest lowest min + unplaced sizes of a section. */
int32_t tightness(Search *s, const Item *it, int n, int lo, int hi);

/* Failed states; memo_find sets s->who and s->rest. */
void memo_init(Search *s);
void memo_key(const Item *it, int n, uint64_t key[2]);
bool memo_find(Search *s, int n, const uint64_t key[2]);
void memo_put(Search *s, int n, const uint64_t key[2]);

Item *push_items(Search *s, int n);
Verdict solve_parts(Search *s, Item *it, int n);

#endif
