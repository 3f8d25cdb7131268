/* ffn.h - one feed-forward layer as found in a graph. */
#ifndef MCUFC_FFN_H
#define MCUFC_FFN_H

#include "elastic.h"

enum { CUT_LENGTH = -1 };

/* An operand that has one index per hidden neuron along an axis; or a shape
 * whose last number is how many there are (CUT_LENGTH). */
typedef struct Cut {
    Node *n;
    int in, axis;
} Cut;

typedef struct Ffn {
    int64_t features, hidden;
    Node *down;                 /* F -> E */
    Node *add;                  /* the residual sum */
    Value *stream;              /* what the layer's result is added to */
    int nnode, capnode;
    Node **node;                /* everything between, makers first */
    int ncut, capcut;
    Cut *cut;                   /* of constants */
} Ffn;

typedef struct Ffns {
    int n, cap;
    Ffn *layer;
} Ffns;

/* A product by a constant matrix: operand, and its axes for the input's
 * features and the output's. False: n is none. */
typedef struct ProductAxes {
    int operand, in, out;
} ProductAxes;
bool product_axes(const Node *n, ProductAxes *p);
/* elastic.c: the first m indices along an axis of a constant */
Value *constant_prefix(Graph *g, const Value *v, int axis, int64_t m);

/* In schedule order, in `arena`. */
void ffns_find(Graph *g, Arena *arena, Ffns *out);
/* The other operand of a sum where one side comes from the other, which is
 * the stream of a residual network; NULL: no such sum. */
Value *residual_stream(const Node *add);
/* v without quantization, identities and reshapes around it. */
Value *peel(Value *v);

#endif
