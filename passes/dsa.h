/* dsa.h - static allocation: where in the arena does each buffer live?
 *
 * Dynamic storage allocation with all lifetimes known (Garey & Johnson SR2):
 * buffers whose lifetimes meet must not share bytes, except for declared
 * pairs, which may overlap as far as a kernel allows; the height of the
 * arena is to be at most a capacity, or as small as possible.
 * A heuristic plan always comes back; an exact search then improves it and,
 * when it finishes, proves it. See dsa_int.h for the parts.
 *
 * Deterministic: effort is bounded by counting nodes. Only max_seconds makes
 * the answer depend on the machine.
 */
#ifndef MCUFC_DSA_H
#define MCUFC_DSA_H

#include <stdbool.h>
#include <stdint.h>

#include "../support/arena.h"

typedef struct DsaBuf {
    int64_t lower, upper;       /* lives in [lower, upper), any unit */
    int64_t size;               /* bytes, >= 0 */
    int64_t align;              /* of the offset; 0 means 1 */
    int64_t fixed_offset;       /* where it must be; -1: anywhere */
    int64_t offset;             /* the result */
} DsaBuf;

/* That order of the two buffers has no kernel. */
#define DSA_NEVER INT64_MAX

/* A pair that may overlap although both live. Without a declaration the
 * pair needs off_b >= off_a + size_a or off_a >= off_b + size_b; with one it
 * needs
 *      off_b >= off_a + a_first   or   off_a >= off_b + b_first
 * where either may be less than the size, 0, negative or DSA_NEVER. A pair
 * with a_first + b_first <= 0 is free. Declared twice: the last one counts.
 * Example, elementwise op in place, out over in: a = out, b = in,
 * a_first = 0 (forward loop), b_first = size_in - size_out (reverse). */
typedef struct DsaOverlap {
    int a, b;                   /* indices of buffers */
    int64_t a_first, b_first;
} DsaOverlap;

typedef struct DsaProblem {
    DsaBuf *buf;
    int nbuf;
    const DsaOverlap *overlap;
    int noverlap;
} DsaProblem;

typedef struct DsaOptions {
    int64_t capacity;           /* find a plan that fits; 0: minimise */
    long max_nodes;             /* search effort; 0: the default, <0: none */
    double max_seconds;         /* stop early; 0: no clock is ever read */
} DsaOptions;

typedef enum DsaStatus {
    DSA_SOLVED,                 /* minimise: always; capacity: it fits */
    DSA_INFEASIBLE,             /* proved: no plan fits (or fixed clash) */
    DSA_UNDECIDED               /* effort spent; offsets: best plan known */
} DsaStatus;

typedef struct DsaResult {
    DsaStatus status;
    int64_t height;             /* max(offset + size) of the plan returned */
    int64_t lower_bound;        /* no plan can be lower */
    bool proved;                /* height == lower_bound, or infeasible */
    long nodes;                 /* of the search and of local improvement */
    int64_t bound_time;         /* witness: a time with this much live ... */
    int64_t max_live;           /* ... the bound before any search */
} DsaResult;

/* Fills in buf[].offset (except for DSA_INFEASIBLE by clashing fixed
 * offsets) and returns result->status. Sizes, lower < upper, indices and
 * fixed alignments are the caller's duty (asserted). Scratch memory comes
 * from `scratch`; the caller resets it. */
DsaStatus dsa_solve(DsaProblem *p, const DsaOptions *opt, Arena *scratch,
                    DsaResult *result);

/* The bound alone: max over time of live bytes less what declared pairs can
 * save. `when` (may be NULL) receives the time. */
int64_t dsa_lower_bound(const DsaProblem *p, Arena *scratch, int64_t *when);

#endif
