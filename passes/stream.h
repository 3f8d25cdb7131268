/* stream.h - what the files of the pass `stream` share. */
#ifndef MCUFC_STREAM_H
#define MCUFC_STREAM_H

#include "../ir/region.h"
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
 * `goal`. */
void stream_tiles(Graph *g, const PassOptions *opt, int64_t goal);

/* stream_windows.c: stretches with windows, row by row, until the arena is at
 * most `goal`; true when some. */
bool stream_windows(Graph *g, const PassOptions *opt, int64_t goal);

/* stream_heads.c: an Attention, head by head. */
bool stream_heads(Graph *g, Node *n);

#endif
