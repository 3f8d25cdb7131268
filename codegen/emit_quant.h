/* emit_quant.h - zero points as C expressions. */
#ifndef MCUFC_EMIT_QUANT_H
#define MCUFC_EMIT_QUANT_H

#include "emit.h"

/* absent, or constant and 0 in every element */
bool quant_is_zero(const Value *v);
/* element `index` of operand i: "0", a literal, or x2[index] */
const char *quant_zero(Emit *e, const Node *n, int i, const char *index);

#endif
