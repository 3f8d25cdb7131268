/* verify.h - comparing tensors; shared by --verify and its per-node mode. */
#ifndef MCUFC_VERIFY_H
#define MCUFC_VERIFY_H

#include "compile.h"

/* How far `got` is from `want`, over all elements. */
typedef struct Difference {
    double max_abs, max_rel, scale;     /* scale: largest |want| */
    uint64_t max_ulp;                   /* float and double only */
    int64_t worst;                      /* index of max_abs */
    int64_t beyond;                     /* elements outside the tolerance */
    double got, want;                   /* at `worst` */
} Difference;

/* Per element: |got - want| <= abs + rel * |want|. */
typedef struct Tolerance {
    double abs, rel;
    double share;               /* of elements that may be outside */
} Tolerance;

Difference tensor_difference(const Type *t, const void *got,
                             const void *want, const Tolerance *tol);
bool difference_ok(const Difference *d, const Type *t, const Tolerance *tol);
/* What generated code promises against the interpreter for value v: exact
 * for integers; doc/testing.md states the bound of floats. */
Tolerance tolerance_for(const Graph *g, const Value *v, const Tensor *want);
/* The same against what another tool says that v should be. */
Tolerance tolerance_for_expected(const Graph *g, const Value *v,
                                 const Tensor *want);
void difference_print(const char *what, const char *name,
                      const Difference *d, bool ok);

#endif
