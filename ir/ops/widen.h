/* widen.h - float16 and bfloat16 for op families that compute in float. */
#ifndef MCUFC_WIDEN_H
#define MCUFC_WIDEN_H

#include "../ir.h"

/* Does an operand or result of n have a 16-bit float type? */
bool eval_is_narrow(const Node *n, const Tensor *const *in,
                    Tensor *const *out);
/* Run eval with every 16-bit float operand as float and round the results
 * once. eval must take types from its tensors, not from n. */
bool eval_widened(EvalFn *eval, const Node *n, const Tensor *const *in,
                  Tensor *const *out, Arena *scratch, Diag *diag);

/* First line of an eval hook: hand 16-bit floats back to itself as float. */
#define WIDEN(self)                                                       \
    if (eval_is_narrow(n, in, out))                                       \
        return eval_widened(self, n, in, out, scratch, diag)

#endif
