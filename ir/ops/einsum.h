/* einsum.h - an Einsum equation as loops: shared by interpreter and emitter.
 */
#ifndef MCUFC_OPS_EINSUM_H
#define MCUFC_OPS_EINSUM_H

#include "../ir.h"

enum { EINSUM_LOOPS = 24, EINSUM_TERMS = 16 };

/* The first `nout` loops run over the output's axes in order, the others
 * are summed over. stride[t][i]: elements of operand t per step of loop i. */
typedef struct Einsum {
    int nterm, nout, nloop;
    int64_t size[EINSUM_LOOPS];
    int64_t stride[EINSUM_TERMS][EINSUM_LOOPS];
} Einsum;

/* false after a message; y gets the output's type */
bool einsum_read(const Node *n, Einsum *e, Type *y);

#endif
