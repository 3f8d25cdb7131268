/* qproduct.h - what a node of QConv, QMatMul or an integer pool computes,
 * every parameter resolved and every sum bounded: shared by inference,
 * interpreter and emitters. Each function returns false after a message. */
#ifndef MCUFC_QPRODUCT_H
#define MCUFC_QPRODUCT_H

#include "../requant.h"
#include "window.h"
#include "matmul.h"

/* kernels take one pointer per row of a window, on the stack */
enum { MOST_ROWS = 128 };

/* y[N][oH][oW][M] from x[N][H][W][C] (planar: [N][C][H][W]) and filters
 * w[M][kH][kW][cg]: group of mg outputs from cg inputs each. */
typedef struct QConv {
    ConvShape s;                /* its window has two axes */
    bool planar;
    QParam x, y;
    const Value *w;             /* int8 or int4 */
    const int32_t *bias;        /* [M] or NULL */
    Requant rq;                 /* one multiplier, or one per channel */
} QConv;
bool qconv_get(const Node *n, QConv *c, Arena *arena);
bool qconv_shape(const Node *n, QConv *c);      /* without rq */

/* weights: b is a constant [n][k], one row per output channel, and the rows
 * of a are all alike; then the k terms fall into `groups` of which each sum
 * is multiplied by its own small integer before they are added. Else b is
 * read at run time, per batch. */
typedef struct QMatMul {
    bool weights;
    MatShape s;
    int64_t rows;               /* of a, batch included; weights only */
    QParam a, b, y;
    const int32_t *bias;        /* [n] or NULL, already times group_one */
    int64_t groups;             /* 1: no group_mult */
    const int16_t *group_mult;  /* [n][groups] */
    int64_t group_one;          /* the multiplier of the largest scale */
    Requant rq;
} QMatMul;
bool qmatmul_get(const Node *n, QMatMul *q, Arena *arena);
/* with the multipliers nearest to their factors: for all but the sums */
bool qmatmul_fits(const Node *n, QMatMul *q, Arena *arena);
/* without what takes a look at every weight: group_mult, group_one, rq */
bool qmatmul_shape(const Node *n, QMatMul *q);

/* The image [N][H][W][C] of a pool, as ConvShape: group = C, cg = mg = 1. */
bool qpool_shape(const Node *n, const WindowAttrs *a, const Ints *kernel,
                 ConvShape *s);
/* Averages over `count` inside taps are requantized with the multiplier of
 * that count: rq.mult[count], 0 where it does not occur. */
typedef struct QPool {
    ConvShape s;
    bool include;               /* padding counts */
    QParam x, y;
    Requant rq;
} QPool;
bool qpool_get(const Node *n, QPool *p, Arena *arena);
/* taps of axis i that count for output o: inside the image, or padding too */
int64_t qpool_taps(const Window *w, int i, int64_t o, bool include);

/* x seen as [outer][n][inner], the mean taken over n. */
typedef struct QMean {
    int64_t outer, n, inner;
    QParam x, y;
    Requant rq;
    Type type;                  /* of y */
} QMean;
bool qmean_get(const Node *n, QMean *m, Arena *arena);

/* The same, summed up: int32, all axes kept. */
typedef struct QTotal {
    int64_t outer, n, inner;
    QParam x;
    Type type;                  /* of the result */
} QTotal;
bool qsum_get(const Node *n, QTotal *s);

/* sum of |w| and of w over elements [from, from + n) of an integer constant */
void weight_sums(const Value *w, int64_t from, int64_t n, int64_t *magnitude,
                 int64_t *sum);

#endif
