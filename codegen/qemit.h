/* qemit.h - what the emitters of integer products share. */
#ifndef MCUFC_CODEGEN_QEMIT_H
#define MCUFC_CODEGEN_QEMIT_H

#include "emit.h"

#include "../ir/ops/qproduct.h"

/* Rows (windows) that are widened at once: 4 while they take few bytes. */
int64_t qblock(int64_t k);
int64_t q_wide(int64_t k);      /* up to a multiple of 16 */
/* w, int8 rows of k, readable so far beyond its last row; often operand 1 */
const char *q_weights(Emit *e, const Node *n, const Value *w, int64_t k);
/* weights in panels, as qpair.c reads them, for rows of k terms? */
bool q_in_panels(Emit *e, const Value *w, int64_t rows, int64_t k);
const char *q_panels(Emit *e, const Value *w, int64_t cols, int64_t k);
/* q of runtime_stub/kernels/qput.c: five numbers; of == 0: one multiplier */
void q_numbers(const Requant *r, int32_t *q);
const char *q_mult(Emit *e, const Requant *r);
/* A kernel of qlean.c: rows (pixels) of a block and what it stages of them:
 * inputs or outputs, whichever are fewer bytes. */
typedef struct QLean {
    int rows;
    bool in;                    /* stages inputs */
    int64_t bytes;              /* of scratch */
} QLean;
/* level: the attribute `lean`: 1 blocks of rows, 2 single ones; k: terms of
 * a row that may be staged, 0: none may; n results */
QLean q_lean(int64_t level, int64_t rows, int64_t k, DType x, int64_t n,
             DType y);
/* ", in, out" of such a kernel */
const char *q_lean_room(Emit *e, const QLean *l, DType x, DType y);
/* a table of numbers; how many: n */
const char *q_table(Emit *e, int n, const int32_t *v);
/* int4 rows of `groups` groups of k terms, packed as qdot4.c reads them */
const char *q_pack4(Emit *e, const Value *w, int64_t rows, int64_t groups,
                    int64_t k);
/* the product of `rows` rows of k codes with the weights of node n (operand
 * 1, [cols][k]), x0 to y0 */
typedef struct QProduct {
    int64_t rows, k, cols;
    const QParam *x;
    DType y;
    const Requant *rq;
    const int32_t *bias;        /* NULL: none */
    int64_t groups;
    const int16_t *group_mult;  /* [cols][groups] */
} QProduct;
void emit_qproduct(Emit *e, const Node *n, const QProduct *p);
/* the bias array: operand 3, or a copy */
const char *q_bias(Emit *e, const Node *n, const int32_t *bias, int64_t cols);

#endif
