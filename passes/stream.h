/* stream.h - what the files of the pass `stream` share. */
#ifndef MCUFC_STREAM_H
#define MCUFC_STREAM_H

#include "../ir/region.h"
#include "../ir/relation.h"
#include "edit.h"

/* Loops whose turns can be walked one by one, as the planner and the checker
 * do? */
bool stream_small(const Graph *g);

/* stream_parts.c: nodes that compute positions [from, from + count) of
 * `extent` along an axis of v, and nothing else, before `at`; what does not
 * depend on the position is shared. */
typedef struct Parts {
    Graph *g;
    Node *at;
    int64_t extent, from, count;
    Value **made;               /* by value id */
    int nmade;
} Parts;

void parts_init(Parts *p, Graph *g, Node *at, int64_t extent, int64_t from,
                int64_t count);
/* Can n's first result be made so, and is then no work done twice? */
bool parts_possible(Node *n, int axis, int64_t extent);
/* Can n be computed row by row of an axis of its first result? */
bool node_rows(Node *n, int axis);
Value *parts_make(Parts *p, Value *v, int axis);

/* stream_rows.c: a region that grows from seeds, before node `at`. */
typedef struct Rows {
    Graph *g;
    Region *region;
    Node *at;                   /* what stands behind the region */
    Value **made;               /* by value id: computed here once more */
    int nmade;
} Rows;

void rows_init(Rows *r, Graph *g, Region *region, Node *at);
/* n goes into the region, along `axis` of its first result (and along the
 * axes n->walk says in the loops outside), with what makes its operands row
 * by row: moved, or computed once more where that keeps nothing longer. */
bool rows_take(Rows *r, Node *n, int axis);
/* Readers of n's result join, one behind the other, up to one whose result
 * may lie where an operand was. */
void rows_grow(Rows *r, Node *n);
/* Would a region around v's maker and reader keep v out of memory? Then
 * that is made. */
bool stream_value(Graph *g, Value *v);

/* stream_tiles.c: more positions per turn, as long as the arena is at most
 * `goal` and the products are at most `work`. */
void stream_tiles(Graph *g, const PassOptions *opt, int64_t goal,
                  int64_t work);

/* stream_loops.c: a loop over rows of a stretch of steps, and inside it loops
 * over columns, each around steps [first, last] of the stretch. */
enum { MAX_SPANS = 20, REACH = 40 };    /* steps of a stretch at most */

typedef struct Span {
    int first, last, axis;
    int64_t tile;
} Span;

typedef struct Loops {
    int axis;                   /* of the last step's result: the rows */
    int64_t tile;
    int n;
    Span span[MAX_SPANS];
    int64_t peak, macs;         /* bytes live; products made again: about */
    int64_t held;               /* bytes that the loop over rows holds */
    bool pixels;                /* its turns are columns of images: what they
                                   touch are pixels, not rows */
} Loops;

/* False: they cannot be, and there are none. */
bool loops_lay(Graph *g, Node *const *step, int n, const Loops *l);
void loops_take(Node *const *step, int n);

/* stream_model.c: what loops cost */

typedef struct Arc {            /* an operand that is no constant */
    int maker;                  /* its step; -1: an input */
    const Value *v;
    Relation by[MAX_RANK];      /* of each axis of the first result */
} Arc;

typedef struct StepModel {
    Node *n;
    int narc;
    Arc *arc;
    int64_t macs;
    bool may_enter;             /* a loop, */
    bool tiles[MAX_RANK];       /* along these axes of the first result */
    bool accumulates[MAX_RANK];        /* they are summed up */
    int64_t dim[MAX_RANK];      /* axis_indices */
    bool pixels[MAX_RANK];      /* a turn along it is pixels of many rows */
} StepModel;

typedef struct Model {
    Graph *g;
    const PassOptions *opt;
    const struct Storage *s;
    int n;
    StepModel *step;
    int *first, *last;          /* by store: steps that need it */
} Model;

void model_init(Model *m, Graph *g, const PassOptions *opt);

typedef struct Stretch {
    const Model *m;
    int first, n;               /* steps */
    int reader[REACH];          /* the last of each result; n and more: it
                                   leaves the stretch */
    int64_t outside;            /* bytes that live whole */
    int dying;                  /* the largest store that ends with it, or */
    int64_t dying_bytes;        /* -1 */
    /* stream_stretch.c */
    bool begun, ended;          /* nothing more to try from `at` */
    Loops at;
    int64_t least;              /* peak so far, and since when not lowered */
    int vain;
    int nfound, capfound;
    Loops *found;               /* no one better in all respects than any */
} Stretch;

Stretch *stretch_new(const Model *m, int first, int last);
/* l's peak, macs and held; false: such loops cannot be. */
bool stretch_measure(const Stretch *s, Loops *l);
/* Are loops over columns out of the question? */
bool stream_rows_only(const PassOptions *opt);
/* stream_stretch.c: those with a peak of at most so many bytes that make
 * fewest products again, of the ones tried until `most` were enough; NULL:
 * none was found. */
const Loops *stretch_loops(Stretch *s, int64_t peak, int64_t most);

/* stream_windows.c: stretches with windows become loops, until the arena is
 * at most `goal`; true when some did. `work`: how many more products they
 * may take. */
bool stream_windows(Graph *g, const PassOptions *opt, int64_t goal,
                    int64_t work);

/* stream_input.c: loops that take an input in bands. */
typedef struct BandLoop {
    int steps;                  /* in the loop, without those made for it */
    int axis;                   /* of the last one's result, or, where there
                                   are no windows, of the input */
    int64_t extent;             /* turns */
    bool windows;
    bool copy;                  /* the band is copied first: what is kept of
                                   it would stand between its planes */
    int64_t live;               /* most bytes live in its steps */
} BandLoop;

/* The input is received, its readers come first; those loops are listed that
 * go along its rows, the smallest first. *last: a result of the last step
 * that can be in one. NULL after a message. */
BandLoop *band_loops(Graph *g, const PassOptions *opt, int *n,
                     const char **last);
/* Lays the loop. */
bool band_loop_form(Graph *g, const BandLoop *l);

/* stream_reduce.c: means as sums that loops can accumulate, global maxima as
 * ReduceMax; means back where no loop does. */
void reductions_split(Graph *g);
void reductions_join(Graph *g);

/* stream_heads.c: an Attention, head by head. */
bool stream_heads(Graph *g, Node *n);

#endif
