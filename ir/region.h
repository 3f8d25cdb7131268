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
    int64_t from, to;           /* the turn at position p touches those of
                                   [p * unit + from, p * unit + to) that
                                   there are */
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

/* A loop along an axis that n sums over (or takes the largest of, or least)
 * accumulates: each turn the sums of its part of the operand. The result is
 * whole, and complete behind the loop. */
bool axis_accumulates(const Node *n, int axis);        /* of n's first result */
bool loop_accumulates(const Node *n, int depth);
bool node_accumulates(const Node *n);  /* a loop around it does */
/* Indices of the axis that the loop goes along: of n's first result, or,
 * where it accumulates, of its operand. */
int64_t axis_indices(const Node *n, int axis);
/* Which part of an operand such a loop reads. */
struct Relation axis_relation(const Node *n, int in, int axis);

/* walk[d] for every loop around n; false when the slot cannot be cut so. */
bool node_cuts(const Node *n, int slot, Cut *walk);
/* May n be in its region with its walks? False after a message. */
bool node_tiles(const Node *n);
bool node_can_tile(const Node *n);      /* without a message */

/* A call computes one tile of a node: in the loop of depth d count[d]
 * positions from pos[d] on; 0: all there are. In a loop that slides along the
 * result it is index pos[d] of that axis, and count[d] is 1.
 * What such a call sees of a slot: */
Type node_tile_type(const Node *n, int slot, const int64_t *count,
                    const int64_t *pos);
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
/* live.c: does `out`, which begins with the loops r and stays, lie over bytes
 * of `in`, which was there before and dies with them? (What is stored inside
 * is neither.) */
bool region_lies_over(const Region *r, const Buffer *out, const Buffer *in);

/* Elements from the first that is stored to the tile's: base, and per loop
 * so many times the position of its turn, and the index that is made. */
typedef struct Place {
    int64_t base, turn[REGION_DEPTH], index[REGION_DEPTH];
} Place;
void node_slot_place(const Node *n, int slot, const int64_t *pos, Place *p);
/* Do two slots move along with the loops, and lie, alike (in bytes)? */
bool node_same_place(const Node *n, int a, int b);
/* May the first result replace operand k in its place, element by element?
 * Not two to a byte: the first one written clears the second. */
bool node_may_overwrite(const Node *n, int k);
/* Is the tile one piece of what is stored? */
bool node_slot_dense(const Node *n, int slot, const int64_t *count,
                     const int64_t *pos);

/* Sizes of turns: the last turn of a loop may take fewer positions. `which`
 * counts the combinations from 0, full turns; false behind the last. */
bool node_turn_count(const Node *n, int which, int64_t *count);

/* The node as one call computes it: types and attributes narrowed, constant
 * operands cut at position pos[d]. It is no part of the graph; n itself when
 * it is in no region. */
const Node *node_tile(const Node *n, const int64_t *count,
                      const int64_t *pos, Arena *arena);
/* Does a loop of this depth cut a constant operand of n? */
bool node_cuts_constant(const Node *n, int depth);

/* Copy the tile at pos of a slot between whole tensors and dense tiles. */
void node_tile_copy(const Node *n, int slot, const int64_t *count,
                    const int64_t *pos, void *whole, void *tile, bool out);

/* region_walk.c: every call in the loops that begin with `first`; false when f
 * returned that. */
typedef struct LoopTurn {
    int64_t count[REGION_DEPTH], pos[REGION_DEPTH];     /* per loop */
    int64_t index[REGION_DEPTH];        /* that is made, where loops slide */
} LoopTurn;
typedef bool RegionCall(void *user, const Node *n, const LoopTurn *t);
bool region_walk(Node *first, RegionCall *f, void *user);
/* count and pos as node_tile wants them for a call of n */
void turn_call(const LoopTurn *t, const Node *n, int64_t *count, int64_t *pos);

/* eval_loops.c: runs the loops that begin with `first`, tile by tile. All
 * results have room in tensor[], by value id. */
bool loops_eval(Node *first, Tensor *tensor, Arena *scratch, Diag *diag);

/* band.c: inputs that the caller hands over in bands (--stream-input) */

/* The first step receives a band of `input` per turn of the loop that it is
 * in, and `value` is what of it is stored. */
typedef struct Band {
    Node *receive;
    Value *input, *value;
    Region *loop;
    int axis;                   /* that the bands go along */
    int64_t rows, bands;        /* indices of a band, and how many bands; the
                                   last one may have fewer */
    int64_t planes;             /* a band is so many pieces, one behind the
                                   other, ... */
    int64_t row_bytes;          /* ... of `rows` times so many bytes */
    int64_t at;                 /* bytes from value's place to the band */
} Band;

enum { BAND_COUNT_BYTES = 8 };  /* of the arena: bands pushed so far */

/* False: no input comes in bands. */
bool graph_band(const Graph *g, Band *b);
/* v is such an input: the arena has no place for it. */
bool value_in_bands(const Value *v);
int64_t band_bytes(const Band *b);
/* The whole input as its bands, one after the other, the last one filled up
 * with zeros. */
void *band_order(const Band *b, const void *whole, Arena *arena);
/* Where bands can be received, or false after a message. */
bool bands_verify(Graph *g);
/* The same without one: NULL, or what is wrong. */
const char *band_refusal(const Graph *g);

/* region_slide.c: loops with windows */

struct Window;
/* Sets slides and begin of every region, and node->slide. NULL, or why *bad
 * cannot be in its loops. */
const char *regions_slide(Graph *g, Node **bad);
/* Does the loop of this depth slide along n's result? */
bool loop_slides(const Node *n, int depth);
bool node_slides(const Node *n);        /* a loop around it does */
/* Elements of v's stored axis that a turn leaves to the next one, and that
 * it makes itself; *axis: which. 0: nothing is left. */
int64_t value_carried(const Value *v, int *axis, int64_t *fresh);
/* What of a slot a turn of such a loop touches; false: it cannot. */
bool slide_cut(const Node *n, int slot, int depth, Cut *w);
/* What of a slot index i of the result along the loop's axis needs: indices
 * [from, to) of axis `axis` (-1: all), and so many of padding around. */
typedef struct Reach {
    int axis;
    int64_t from, to, before, after;
} Reach;
Reach node_reach(const Node *n, int slot, int depth, int64_t i);
/* Indices of the result that need equally much padding follow each other:
 * the first of each run, and the end of the last. */
int64_t *node_runs(const Node *n, int depth, Arena *arena, int *count);
/* The window of an op that has one; spatial: the result's axis of axis 0 */
bool node_window(const Node *n, struct Window *w, int *spatial);

/* region_work.c */

/* Multiplications of n that its loops add to node_macs (or save, where not
 * all of a result is needed) */
int64_t node_repeated_macs(const Node *n);
int64_t graph_work(const Graph *g);     /* of all nodes, with those */
/* Bytes of constants that n's kernel reads in one run, call by call. */
int64_t node_constant_reads(const Node *n);

/* verify.c's part, and a check of regions that people write */
bool regions_verify(Graph *g);
/* Would they be right? Without a message. */
bool regions_fit(Graph *g);
/* Does n's op allow a loop along that axis of its first result? */
bool axis_tiles(const Node *n, int axis);
/* Is it an axis of n's first result along which windows overlap, or reach
 * over the border? */
bool axis_slides(const Node *n, int axis);

#endif
