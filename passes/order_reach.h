/* order_reach.h - for 64 steps v at a time, a bit each: which steps need v,
 * which does v need, which stores are live at v in every order. */
#ifndef MCUFC_ORDER_REACH_H
#define MCUFC_ORDER_REACH_H

#include "order.h"

typedef struct Reach {
    const Storage *s;
    const Deps *d;
    uint64_t *to;               /* by step: v that need it, or are it */
    uint64_t *from;             /* by step: v that it needs, or is */
    uint64_t *needed;           /* by store: v before its last use */
    bool *hosted;               /* by store: may lie in a state's place */
    int first;                  /* v of bit 0 */
    int64_t live[64];           /* bytes live at v in every order */
} Reach;

Reach reach_new(const Storage *s, const Deps *d, Arena *a);
/* Fills in everything for v = first ... first + 63. */
void reach_block(Reach *r, int first);
uint64_t reach_bit(const Reach *r, int step);
uint64_t reach_live(const Reach *r, int store);
/* What in-place writing can save at v, which is in the block. */
int64_t reach_saves(const Reach *r, int v);

#endif
