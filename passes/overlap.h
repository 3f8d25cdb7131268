/* overlap.h - how far a result may lie over an operand that dies with it.
 *
 * A kernel works in units (node_unit_axes) and reads all that a unit needs
 * before it writes the unit. Walking forward, unit i may be written where no
 * later unit reads: with W(i) the end of unit i in the result and R(i) the
 * lowest byte of the operand that units after i read,
 *      operand >= result + max (W(i) - R(i)),
 * and the mirror image backward. All units are enumerated: no closed forms.
 */
#ifndef MCUFC_OVERLAP_H
#define MCUFC_OVERLAP_H

#include "storage.h"

/* Base addresses that are safe, in bytes: walking forward where operand k
 * >= result + *forward, backward where result >= operand + *backward. Values
 * may be negative. False: the kernel promises nothing, or it is too much to
 * enumerate. */
bool overlap_shifts(const Node *n, int k, int64_t *forward,
                    int64_t *backward);

/* A result that begins where an operand's buffer may end. */
typedef struct OverlapPair {
    Node *node;                 /* NULL: a region does */
    Buffer *out, *in;
    int64_t forward, backward;  /* of the buffers' first bytes */
    int first, last;            /* steps that have both */
} OverlapPair;

typedef struct OverlapPairs {
    int n, cap;
    OverlapPair *pair;
} OverlapPairs;

/* Bytes that a buffer may lie over what dies, at most, in the steps that
 * have both; by buffer id, bytes 0: none. */
typedef struct Saving {
    int64_t bytes;
    int first, last;
} Saving;
Saving *overlap_savings(Graph *g);
/* Bytes, rounded, that the two can at most have in common. */
int64_t overlap_common(const OverlapPair *p);
/* All pairs of a graph with buffers and live ranges. */
void overlap_find(Graph *g, OverlapPairs *list);
/* overlap_regions.c: those of regions; overlap_find calls it */
void overlap_regions(Graph *g, OverlapPairs *list);
/* After placing: which way each node walks. */
void overlap_walks(Graph *g, const OverlapPairs *list);
/* Fills in every step's list of what its result may lie over. */
void storage_overlaps(Storage *s);

#endif
