/* hooks.h - declares the hooks of every row of ops.def; the files that define
 * some include it, so that a wrong signature is a build error. */
#ifndef MCUFC_HOOKS_H
#define MCUFC_HOOKS_H

#include "ir.h"

#define OP(name, imin, imax, omin, omax, attrs, infer, eval, traits)      \
    InferFn infer_##infer;                                                \
    EvalFn eval_##eval;
#include "ops.def"
#undef OP

#endif
