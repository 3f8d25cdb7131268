/* placed.h - placements that a text states; see placed.c. */
#ifndef MCUFC_PLACED_H
#define MCUFC_PLACED_H

#include "overlap.h"

/* Byte of the arena that the text gives to v, or to n's scratch; -1: none. */
int64_t value_placed(const Graph *g, const Value *v);
int64_t scratch_placed(const Node *n);

/* False after a message, each. */
bool placed_values(Graph *g, const Storage *s);
bool placed_buffers(Graph *g, const OverlapPairs *pairs, bool no_reuse);

/* What the text says, kept while buffers are made anew, and given to them. */
typedef struct Placed {
    int64_t *value;             /* by id */
    Buffer **scratch;           /* by node */
} Placed;

Placed *placed_take(Graph *g);
bool placed_give(Graph *g, const Placed *p);    /* false after a message */

void placed_states(Plan *p);            /* the region holds what is placed */

#endif
