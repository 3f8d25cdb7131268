/* map.h - scalar.def as C expressions, for emitters with an epilogue. */
#ifndef MCUFC_CODEGEN_MAP_H
#define MCUFC_CODEGEN_MAP_H

#include "emit.h"

/* The C expression of activation `act` (a unary row of scalar.def, or
 * "Clip" with alpha and beta as bounds) applied to x, an expression of dt
 * without side effects that may appear more than once in the result; x
 * itself when act is "". 16-bit floats: dt is DT_F32. The kernels it calls
 * are asked for. A fused activation's parameters are alpha and beta in the
 * order that scalar_params gives p0 and p1. */
const char *map_expr(Emit *e, const char *act, float alpha, float beta,
                     DType dt, const char *x);
/* Any row of scalar.def on C expressions; arg[1], arg[2] may be NULL. */
const char *scalar_c(Emit *e, const char *row, DType dt,
                     const char *const *arg, float p0, float p1);

#endif
