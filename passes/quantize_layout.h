/* quantize_layout.h - orders of axes, for the pass `quantize`. */
#ifndef MCUFC_QUANTIZE_LAYOUT_H
#define MCUFC_QUANTIZE_LAYOUT_H

#include "quantize.h"

typedef struct Perm {
    int rank;
    int64_t v[MAX_RANK];        /* axis i of the result is axis v[i] */
} Perm;

Perm perm_of(const Node *t);    /* of a Transpose */
bool perm_equal(const Perm *a, const Perm *b);
Perm perm_inverse(const Perm *p);
/* a Transpose of x, before `at` */
Node *put_transpose(Graph *g, Node *at, Value *x, const Perm *p);

/* quantize_sink.c: every transpose one node further down where all readers
 * allow it; true when some moved */
bool transposes_sink(Graph *g);

#endif
