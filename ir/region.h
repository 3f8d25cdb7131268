/* region.h - loops laid over the schedule: streaming.
 *
 * The dataflow stays SSA over whole tensors; a region says that its nodes,
 * which stand next to each other in the schedule, are computed tile by tile
 * of one axis. What is known of one node (which axis of its first result the
 * loop goes along) and axis relations give the rest: which part of each
 * operand a turn reads. A value lives at the innermost region that its maker
 * and all of its readers share: there it is one tile, not a tensor.
 *
 * Positions are counted in indices of the region's extent: a loop over the 3
 * heads of [T, 3*64] has extent 3, and a unit of 64 columns.
 */
#ifndef MCUFC_REGION_H
#define MCUFC_REGION_H

#include "ir.h"

/* How a loop goes along an operand or a result. */
typedef struct Cut {
    int axis;                   /* -1: the same part in every turn */
    int64_t unit;               /* elements of the axis per position */
} Cut;

/* Slot k >= 0 of a node is operand k, slot ~k result k. */
static inline Value *node_slot(const Node *n, int slot)
{
    return slot >= 0 ? node_in(n, slot) : node_out(n, ~slot);
}

Region *region_new(Graph *g, Region *parent, const char *name,
                   int64_t extent, int64_t tile);
int region_depth(const Region *r);      /* loops, r included; NULL: 0 */
Region *region_at(Region *r, int depth);        /* the loop around of r */
Region *region_common(Region *a, Region *b);
bool region_within(const Region *r, const Region *outer);
/* The child of `outer` that n is in; NULL when n is in `outer` itself. */
Region *region_below(const Node *n, const Region *outer);
bool graph_has_regions(const Graph *g);

/* walk[d] for every loop around n; false when the slot cannot be cut so. */
bool node_cuts(const Node *n, int slot, Cut *walk);
/* May n be in its region with its walks? False after a message. */
bool node_tiles(const Node *n);
bool node_can_tile(const Node *n);      /* without a message */

/* What one turn sees of a slot: count[d] positions in the loop of depth d;
 * 0: all of it. */
Type node_tile_type(const Node *n, int slot, const int64_t *count);
/* What is stored of v at region `store`. */
Type value_stored_type(const Value *v, const Region *store);
/* where its maker and readers make it live; inputs and outputs: NULL */
Region *value_natural_store(const Value *v);

/* Of what is stored of v: all of it, or one tile. */
int64_t value_stored_bytes(const Value *v);
/* live.c: the steps in which v is needed, seen from where it is stored; -1:
 * from the inputs on. (That an output stays is not counted.) */
int value_first_step(const Value *v);
int value_last_step(const Value *v);

/* Elements from the stored tile's beginning to that of position 1 of the
 * loop of each depth: those around the store are 0. */
void node_slot_steps(const Node *n, int slot, int64_t *step);
/* Is the tile one piece of what is stored? */
bool node_slot_dense(const Node *n, int slot, const int64_t *count);

/* The node as one turn computes it: types and attributes narrowed, constant
 * operands cut at position pos[d]. It is no part of the graph; n itself when
 * it is in no region. */
const Node *node_tile(const Node *n, const int64_t *count,
                      const int64_t *pos, Arena *arena);
/* Does a loop of this depth cut a constant operand of n? */
bool node_cuts_constant(const Node *n, int depth);

/* Copy the tile at pos of a slot between whole tensors and dense tiles. */
void node_tile_copy(const Node *n, int slot, const int64_t *count,
                    const int64_t *pos, void *whole, void *tile, bool out);

/* verify.c's part, and a check of regions that people write */
bool regions_verify(Graph *g);

#endif
