/* reduce.h - which dims a Reduce* node reduces, for inference, evaluation
 * and codegen. */
#ifndef MCUFC_REDUCE_H
#define MCUFC_REDUCE_H

#include "../ir.h"

/* mask[i]: dim i is reduced. False when that is known only at run time:
 * axes that are not constant, keepdims = 0, and a declared result to which
 * more than one choice of axes fits. */
bool reduce_mask(const Node *n, bool *mask);

/* x as alternating runs of kept and reduced dims, without those of size 1;
 * no two neighbours are of one kind. */
typedef struct Groups {
    int n;
    int64_t dim[MAX_RANK];
    bool reduced[MAX_RANK];
} Groups;
void reduce_groups(const Type *x, const bool *mask, Groups *g);

/* x as [outer, dim, inner] around an axis */
typedef struct Along { int64_t outer, dim, inner; } Along;
Along type_along(const Type *x, int64_t axis);  /* negative: from the end */

/* Order-preserving key of a number: NaN above all, -0 equals 0. */
uint64_t elem_key(DType dt, const void *p, int64_t i);

#endif
