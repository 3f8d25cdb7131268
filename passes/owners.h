/* owners.h - whose bytes lie where in the arena (check_plan.c). */
#ifndef MCUFC_OWNERS_H
#define MCUFC_OWNERS_H

#include "../ir/ir.h"

typedef struct Owned {
    int64_t from, to;           /* arena bytes [from, to) */
    const Value *owner;
    int64_t base;               /* where byte 0 of the whole value would be */
} Owned;

typedef struct Owners {
    Arena *arena;
    Owned *list;                /* by address, disjoint */
    int n, cap;
    Owned *moved;               /* while they move */
    int room;
} Owners;

/* The bytes [from, to) are from now on o.owner's. */
void owners_take(Owners *w, Owned o);
/* Nobody owns [from, to) any more. */
void owners_drop(Owners *w, int64_t from, int64_t to);
/* [from, to) moves down by `by` bytes, and nothing of it stays. */
void owners_move_down(Owners *w, int64_t from, int64_t to, int64_t by);
/* The range that holds byte `at`; NULL: nobody owns it. */
const Owned *owners_at(const Owners *w, int64_t at);

#endif
