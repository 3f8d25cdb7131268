/* advice.h - the ways out when a budget is missed, in bytes. */
#ifndef MCUFC_ADVICE_H
#define MCUFC_ADVICE_H

#include "compile.h"

/* What the plan would be with other options or other sizes; every figure is
 * computed by planning it. The largest saving first. */
Advice *advice_arena(Compile *c, int *n);
/* The same for constants and code. */
Advice *advice_flash(Compile *c, const CodegenSizes *s, int *n);
/* Why a result of the step does not take the place of operand i of n, in
 * words; NULL: it does, or the operand has no place. */
const char *advice_not_in_place(Compile *c, const Node *n, int i);

#endif
