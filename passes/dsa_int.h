/* dsa_int.h - what the parts of the allocator share.
 *
 *  dsa.c         the driver (ladder of capacities)
 *  dsa_prepare.c normalise, lower bound
 *  dsa_greedy.c  first-fit and best-fit over a portfolio of orders
 *  dsa_search.c  exact search for plain instances, bottom up; with
 *                dsa_sections.c and dsa_load.c, see dsa_search.h
 *  dsa_pairs.c   exact search with declared overlaps and fixed offsets
 *  dsa_large.c   heuristics for 10,000 buffers and more
 *
 * Inside, time is cut into sections (maximal spans with a constant live set)
 * and memory is counted in units: all offsets of a pushed-down plan are
 * multiples of `unit`, so dividing by it loses nothing.
 */
#ifndef MCUFC_DSA_INT_H
#define MCUFC_DSA_INT_H

#include "dsa.h"

/* One buffer, sections and units. */
typedef struct Block {
    int lo, hi;                 /* sections [lo, hi) */
    int64_t size;               /* rounded up to units */
    int64_t align;              /* 1 or more units */
    int64_t fixed;              /* -1: free */
    int64_t bytes;              /* exact size, for the height */
    int id;                     /* index in DsaProblem.buf */
    int first_pair;             /* its declared pairs: chain in pair[] */
} Block;

/* A declared pair, seen from one of its buffers (each is listed twice). */
typedef struct Pair {
    int other;                  /* block */
    int next;                   /* chain, -1 ends */
    int64_t below;              /* other >= me + below, when I am first */
    int64_t above;              /* me >= other + above, when other is */
} Pair;

typedef struct Dsa {
    Arena *arena;
    int n;                      /* blocks of size > 0 */
    Block *b;
    int nsec;
    int64_t unit;               /* bytes */
    int npair;
    Pair *pair;
    bool plain;                 /* no declared pairs, nothing fixed */
    bool mixed;                 /* alignments of more than a unit */

    int64_t *best;              /* offsets in units of the best plan */
    int64_t height;             /* its height in bytes; INT64_MAX: none */
    int64_t bound;              /* bytes: no plan is lower */
    int64_t goal;               /* bytes: low enough, stop */

    long nodes, max_nodes;      /* spent, allowed in all */
    double deadline;            /* 0: none; see dsa_out_of_time */
    bool stopped;
    struct Search *search;      /* workspaces of the searches, */
    struct Net *net;            /* made once */
} Dsa;

typedef enum Verdict { V_NO, V_YES, V_LIMIT } Verdict;

static inline bool block_meets(const Block *a, const Block *b)
{
    return a->lo < b->hi && b->lo < a->hi;
}

static inline int64_t round_up(int64_t x, int64_t to)
{
    int64_t r = x % to;

    return r > 0 ? x + (to - r) : x - r;
}

/* Sections, units and the bound (returned, bytes); *when: its time. */
int64_t dsa_prepare(Dsa *d, const DsaProblem *p, int64_t *when);
/* Effective sizes of a meeting pair; false when they are free of another. */
bool dsa_pair(const Dsa *d, int a, int b, int64_t *a_first,
              int64_t *b_first);
/* Takes the plan (units) when it is lower than the best one. */
bool dsa_offer(Dsa *d, const int64_t *offset);
bool dsa_out_of_time(Dsa *d);
double dsa_time_left(const Dsa *d);     /* seconds; 0: no limit */

void dsa_greedy(Dsa *d);
void dsa_complete(Dsa *d, const int64_t *core);
/* Local improvement of the greedy order: at most `tries` placements. */
void dsa_improve(Dsa *d, long tries);
/* Is there a plan of at most `cap` bytes? `order` 0.. picks the preorder. */
Verdict dsa_search(Dsa *d, int64_t cap, int order, long limit);
Verdict dsa_search_pairs(Dsa *d, int64_t cap, int order, long limit);
/* Many blocks: the crowded part of time first, then the rest. */
void dsa_large(Dsa *d, const DsaProblem *p);

#endif
