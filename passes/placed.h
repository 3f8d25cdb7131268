/* placed.h - placements that a text states; see placed.c. */
#ifndef MCUFC_PLACED_H
#define MCUFC_PLACED_H

#include "storage.h"

/* Byte of the arena that the text gives to v, or to n's scratch; -1: none. */
int64_t value_placed(const Graph *g, const Value *v);
int64_t scratch_placed(const Node *n);

/* False after a message, each. */
bool placed_values(Graph *g, const Storage *s);
bool placed_buffers(Graph *g, bool no_reuse);

void placed_states(Plan *p);            /* the region holds what is placed */

#endif
