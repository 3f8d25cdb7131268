/* nest.h - a loop nest over one shape with several strided operands: what
 * the interpreter's broadcasting and movement walk, and what codegen/loops
 * turns into C loops. Strides and bases are in elements. */
#ifndef MCUFC_NEST_H
#define MCUFC_NEST_H

#include "ir.h"

enum { NEST_RANK = 2 * MAX_RANK, NEST_OPS = 6 };

typedef struct Nest {
    int rank, nop;
    int64_t n[NEST_RANK];                       /* iterations, outer first */
    int64_t stride[NEST_OPS][NEST_RANK];
    int64_t base[NEST_OPS];                     /* element of iteration 0 */
} Nest;

void nest_init(Nest *l, int rank, const int64_t *n);
/* Each adds an operand and returns its number: dense row-major over the
 * nest's own shape; t broadcast to it (right-aligned, as numpy); any. */
int nest_dense(Nest *l);
int nest_broadcast(Nest *l, const Type *t);
int nest_strided(Nest *l, int64_t base, const int64_t *stride);
/* Drop dims of 1 and merge neighbours that every operand walks as one;
 * leaves at least one dim. An empty nest becomes one dim of 0. */
void nest_collapse(Nest *l);

/* Calls f(user, at) once per innermost row; at[k] is the element of operand
 * k that the row starts with. The row has n[rank-1] elements. */
typedef void NestRow(void *user, const Nest *l, const int64_t *at);
void nest_walk(const Nest *l, NestRow *f, void *user);

#endif
