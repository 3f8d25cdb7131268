/* storage.h - which values share bytes, and what is live after which steps.
 *
 * One memory model for the planner and for the search of an order. A Store
 * is a value together with all of its views: they are the same bytes in every
 * order. Which result overwrites which operand depends on who runs last, so
 * it is decided while steps run: a Live counts readers and bytes, step by
 * step, forwards and backwards.
 */
#ifndef MCUFC_STORAGE_H
#define MCUFC_STORAGE_H

#include "passes.h"

/* The arena is aligned to 8, and so is all in it: sums of rounded sizes bound
 * every plan from below. */
enum { PLAN_ALIGN = 8 };

typedef struct Store {
    Value *root;                /* the value that is no view */
    int64_t bytes;              /* rounded to PLAN_ALIGN */
    int64_t at;                 /* where a text puts it; -1: nowhere */
    int nreader;                /* steps that read a member, each once */
    int *reader;
    bool lasting;               /* lives until the run ends */
    const State *state;         /* it is this state's place */
    const Value *leaves;        /* a member that is an output of the graph */
    bool leave;                 /* two of them are */
} Store;

/* An operand's store that a step's result may lie over, and the bytes that
 * this saves at the step. */
typedef struct Lie {
    int store;
    int64_t saves;
} Lie;

/* What one step does to stores; indices into Storage.store. */
typedef struct Step {
    Node *node;
    int nread, nmake, nover;
    int *read;                  /* stores it reads, each once */
    int *make;                  /* stores that begin here */
    int *over;                  /* may become make[0]'s place, if they die
                                   here; the best one first */
    int64_t scratch;            /* rounded */
    int nlie;                   /* filled in by storage_overlaps */
    Lie *lie;
} Step;

typedef struct Storage {
    Graph *g;
    int nstore, nstep, capstore;
    Store *store;
    Step *step;                 /* by node index */
    int *of;                    /* by value id; -1: no bytes or constant */
    int64_t *delta;             /* by value id: bytes from the store's first */
} Storage;

/* Numbers the nodes and asks for scratch sizes. Memory: g->scratch. */
Storage *storage_new(Graph *g, const PassOptions *opt);

/* Bytes at the arena's start for a pointer (--weights-file), then one byte
 * per layer for its width, then the bands that have been pushed; before the
 * states. */
int64_t reserved_bytes(const Graph *g, const PassOptions *opt);
/* Bytes at the arena's start that no step frees: states and the reserve. */
int64_t state_bytes(const Graph *g, const PassOptions *opt);

/* plan.c: bytes of the arena that the present order would get. (Nor
 * this nor those that follow leave a plan behind.) */
int64_t plan_arena(Graph *g, const PassOptions *opt);
/* plan.c: the same with a tenth of the effort, where many are compared; the
 * arena is at most this, but for rare cases. */
int64_t plan_about(Graph *g, const PassOptions *opt);
/* plan.c: bytes that do not fit --pool, or --arena. */
int64_t plan_excess(Graph *g, const PassOptions *opt);
/* plan.c: most bytes live in one step, less what overlaps may save there, and
 * which step that is (-1: before the first). */
int64_t plan_peak(Graph *g, const PassOptions *opt, int *step);
/* The same, and the n values that are, with room for all of the graph. */
int64_t plan_peak_values(Graph *g, const PassOptions *opt, Value **list,
                         int *n);
/* The bytes live in each step, counted so; returns those of the inputs. */
int64_t plan_steps_live(Graph *g, const PassOptions *opt, int64_t *live);

typedef struct Live {
    const Storage *s;
    int *left;                  /* by store: readers that have not run */
    const State **host;         /* by store: lies in this state's place */
    int *over;                  /* by step: the store overwritten, or -1 */
    int64_t now;                /* bytes live between two steps */
    int64_t before;             /* most bytes before the first step */
} Live;

void live_start(Live *l, const Storage *s);
void live_reset(Live *l);               /* nothing has run */
/* Runs step k, whose operands are made; returns the bytes live meanwhile. */
int64_t live_run(Live *l, int k);
void live_undo(Live *l, int k);         /* k ran last */
/* What live_run would return, and what it would leave live. */
int64_t live_peek(const Live *l, int k, int64_t *after);
/* Most bytes live in the order step[0], step[1], ... of a fresh Live. */
int64_t live_peak(const Storage *s, const int *order);

#endif
