/* relation.h - axis relations: which part of an operand is read to compute
 * the elements of a result whose index along one axis is i? Every memory
 * pass asks this one question instead of matching ops.
 *
 * A relation names one axis of the operand and which of its indices may be
 * read; along the operand's other axes anything may be. Several axes of a
 * result restrict independently: a tile that is narrow along two axes reads
 * the intersection. An answer may always be too large, never too small.
 */
#ifndef MCUFC_RELATION_H
#define MCUFC_RELATION_H

#include "ir.h"

typedef enum RelKind {
    REL_ALL,                    /* the whole operand */
    REL_NONE,                   /* the same for every i: weights, what is
                                   repeated; also the whole operand */
    REL_POINT,                  /* block i / out_unit of in_unit indices */
    REL_WINDOW                  /* i * stride - pad + j * dilation, j < size,
                                   as far as that is inside the operand */
} RelKind;

typedef struct Relation {
    RelKind kind;
    int axis;                   /* of the operand */
    /* POINT: out_unit neighbours of the result belong to in_unit neighbours
     * of the operand; both 1 for rows, d for the columns of a head. */
    int64_t out_unit, in_unit;
    int64_t stride, size, dilation, pad;        /* WINDOW */
} Relation;

/* Of axis `axis` of result `out` to operand `in`; both must be there. */
Relation node_relation(const Node *n, int out, int in, int axis);

/* relation_codes.c: of QConv, QMatMul and the pools of codes */
Relation code_relation(const Node *n, int in, int axis);

/* The kernel of n makes result 0 in units, one behind the other in memory
 * (or the last one first, n->backward): every byte that a unit needs is read
 * before the unit is written. Trailing axes that are one unit: 0 for single
 * elements, 1 for rows and pixels; -1: the kernel promises nothing. */
int node_unit_axes(const Node *n);

/* Indices [*lo, *hi) of the operand's axis, of dim elements, that results
 * [from, to) read. For REL_ALL and REL_NONE it is all of `dim`. */
void relation_range(const Relation *r, int64_t dim, int64_t from, int64_t to,
                    int64_t *lo, int64_t *hi);
/* is index k of the operand read for i? (a WINDOW may have gaps) */
bool relation_reads(const Relation *r, int64_t i, int64_t k);
/* A WINDOW without overlap and pad is a POINT of blocks. */
Relation relation_block(Relation r);

#endif
