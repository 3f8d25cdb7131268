/* real.h - whole tensors as double, for families that are evaluated in one
 * precision whatever their float type (float16 to double). */
#ifndef MCUFC_REAL_H
#define MCUFC_REAL_H

#include "../ir.h"

/* NULL for a NULL tensor */
double *real_load(const Tensor *t, Arena *a);
/* rounds once to the tensor's type; nothing for a NULL tensor */
void real_store(Tensor *t, const double *v);
/* operand or result i, NULL when absent */
const Tensor *tensor_in(const Node *n, const Tensor *const *in, int i);
Tensor *tensor_out(const Node *n, Tensor *const *out, int i);

#endif
