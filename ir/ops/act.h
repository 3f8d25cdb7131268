/* act.h - the attributes act, act_alpha, act_beta of fused nodes: a unary
 * op of the table applied to every result. act_alpha and act_beta are that
 * op's float attributes in the order of attrs.def; for Clip they are the
 * bounds (a bound may be infinite); Gelu with act_alpha 1 is approximate
 * "tanh". */
#ifndef MCUFC_ACT_H
#define MCUFC_ACT_H

#include "../ir.h"

typedef struct Act {
    Op op;                      /* OP_NONE: no activation */
    float alpha, beta;
} Act;

/* act "" gives OP_NONE; false after a message for what is no activation */
bool act_get(const Node *n, const char *act, float alpha, float beta,
             Act *out);
/* y[i] = act(y[i]) for count floats or doubles */
bool act_eval(const Node *n, const Act *act, DType dt, void *y,
              int64_t count, Arena *scratch);

#endif
