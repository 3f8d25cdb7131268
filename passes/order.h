/* order.h - the order of steps with the least peak of live bytes.
 *
 * A Walk is a set of steps that have run, with what is live then; it goes
 * forwards and back one step at a time, and jumps between sets that were
 * visited before. The heuristic (order_beam.c), the exact search
 * (order_search.c) and the schedule pass work on one Walk.
 *
 * Live bytes are a submodular function of the set that has run, which is
 * what makes the safe moves of order_search.c safe. A state's place
 * (Live.host) makes them depend on the way as well; the key of a set
 * includes it.
 */
#ifndef MCUFC_ORDER_H
#define MCUFC_ORDER_H

#include "storage.h"

/* Who must run before whom: succ[first[k] .. first[k + 1]) need step k, which
 * needs pred[pfirst[k] .. pfirst[k + 1]). */
typedef struct Deps {
    int n;
    int *first, *succ;
    int *pfirst, *pred;
    int *topo, *pos;            /* an order, and the place of a step in it */
} Deps;

typedef struct Edge {
    int from, to;
} Edge;

/* What reads what, and n more edges; false when they make a cycle. */
bool deps_init(Deps *d, const Storage *s, const Edge *more, int n, Arena *a);

/* How a visited set was reached. */
typedef struct Visit {
    int parent, step, depth;
} Visit;

typedef struct Walk {
    const Storage *s;
    Deps deps;
    Live live;
    int *missing;               /* by step: predecessors that have not run */
    int *ready, *place;         /* steps that may run; by step: its index */
    int nready, done;
    uint64_t key[2];            /* of the set that has run */
    Visit *visit;               /* visit[0]: nothing has run */
    int nvisit, capvisit, at;
    int *path;                  /* room for walk_to */
    long work;                  /* steps tried, run or undone: the effort */
} Walk;

void walk_init(Walk *w, const Storage *s);
void walk_reset(Walk *w, const Deps *d);        /* nothing has run */
void walk_run(Walk *w, int k);          /* without a Visit */
void walk_undo(Walk *w, int k);
void walk_add(Walk *w, int k);          /* with a Visit; w->at is the new */
void walk_to(Walk *w, int visit);       /* all runs had a Visit */
void walk_order(const Walk *w, int visit, int *order);
int64_t walk_peek(Walk *w, int k, int64_t *after);
/* Does k read a place of a state that it cannot take over yet? */
bool walk_waits(const Walk *w, int k);
/* Runs, with Visits, what can be run now in every order that stays within
 * `cap`, as long as there is such a step. */
void walk_settle(Walk *w, int64_t cap);

/* order_bound.c: no order has less live at its peak. */
typedef struct OrderBound {
    int64_t bytes;
    int step;                   /* the step at which it is live; -1: before
                                   the first; nstep: after the last */
} OrderBound;

OrderBound order_bound(const Storage *s, const Deps *d);
/* The stores live at a step in every order, which with the step's scratch
 * add up to the bound; `list` has room for all. */
int order_live(const Storage *s, const Deps *d, int step, int *list);

/* order_imply.c: d gets the n edges given, and those that every order within
 * `cap` and with them obeys. All hold below *until too, which is lowered.
 * False: there is no such order. */
bool order_imply(const Storage *s, Deps *d, int64_t cap, int64_t *until,
                 const Edge *edge, int n, long *work, Arena *a);

/* order_ends.c: edges that fix the steps which may as well run first and
 * last in an order within `cap`; the walk is at its start, and is left
 * anywhere. */
int order_ends(Walk *w, int64_t cap, Edge **edge, Arena *a);

/* order_lazy.c: by step, may it wait until a step that needs it runs? */
void order_lazy(const Storage *s, const Deps *d, bool *lazy, Arena *a);

/* certify.c: the plan's bounds, given what the allocator proved of this
 * order; s NULL: there are loops, and no other order is known. */
void plan_certify(Graph *g, Storage *s, int64_t proved,
                  const PassOptions *opt);

/* order_beam.c: a good order; returns its peak, or -1 when the effort is
 * spent before it is complete. */
int64_t order_beam(Walk *w, int width, int64_t bound, long work, int *order);

/* order_search.c: is there an order with a peak below *peak? */
typedef struct OrderSearch {
    int64_t bound;              /* in: a lower bound; out: the best known */
    int64_t peak;               /* in: of the best order; out: no more */
    int *order;                 /* the best order, replaced if improved */
    bool improved;
    long work;                  /* effort allowed */
    int variant;                /* which of equally good orders, from 0 */
    double deadline;            /* seconds of the clock; 0: never read it */
} OrderSearch;

void order_search(Walk *w, OrderSearch *o);

/* schedule.c: a bound of all orders, from `bound` on, where one with `peak`
 * is known. */
int64_t order_prove(const Storage *s, int64_t bound, int64_t peak,
                    const PassOptions *opt);

#endif
