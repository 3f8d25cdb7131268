/* scalar.h - the table of elementwise expressions, scalar.def, as data. */
#ifndef MCUFC_SCALAR_H
#define MCUFC_SCALAR_H

#include "ir.h"

typedef struct Scalar {
    const char *name;           /* of the row, mostly the op's */
    int arity;                  /* operands: 1 to 3 */
    bool truth;                 /* the result is bool, not T */
    unsigned kinds;             /* 1 << DKind of each type it takes */
    const char *expr;
} Scalar;

/* The row for an element type, or NULL: the op is not defined for it. */
const Scalar *scalar_find(const char *name, DType dt);
/* Which row a node of ops.def means, its attributes considered: Gelu or
 * GeluTanh, Clip or ClipMin...; NULL when it is no such node. */
const char *scalar_of(const Node *n);
/* the attributes p0, p1 of a node; 0 where it has none */
void scalar_params(const Node *n, float *p0, float *p1);

/* Interpreter: apply an activation (a unary row, or "Clip" with alpha and
 * beta as bounds) to every element in place; "" does nothing. */
void map_act(const char *act, float alpha, float beta, Tensor *t);

#endif
