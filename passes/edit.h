/* edit.h - questions and edits that rewriting passes share. */
#ifndef MCUFC_EDIT_H
#define MCUFC_EDIT_H

#include "passes.h"

/* The node that makes v when it is an `op`, else NULL. */
Node *maker(const Value *v, Op op);
/* v has one reader and is no graph output: its maker may be changed. */
bool only_use(const Value *v);
/* The one reader of v when it is an `op`, else NULL. */
Node *only_reader(const Value *v, Op op);
/* A constant whose elements all equal *x (at least one element). */
bool const_splat(const Value *v, double *x);
bool is_splat(const Value *v, double x);        /* to 1e-6 relative */
/* Of a binary node: the operand that is a splat constant; *x its value,
 * *other the other one. */
bool splat_operand(const Node *n, double *x, Value **other);

/* n's first result always equals x (same type): readers of it read x, and n
 * is removed. A graph output keeps its own Value. False: not possible. */
bool bypass(Graph *g, Node *n, Value *x);
/* A new node before `at` whose one result has type t; attributes default. */
Node *insert_op(Graph *g, Node *at, Op op, const char *name, int nin,
                Value **in, Type t);
/* A ConvTranspose of constant floats as a Conv and movements
 * (quantize_deconv.c); false: it stays. */
bool deconv_as_conv(Graph *g, Node *n);
/* `n` takes over the first result of `old`, which is removed. */
void take_result(Graph *g, Node *n, Node *old);
/* quantize_mask.c: an attention mask of floats, computed at run time from a
 * bool, that has codes: one of its two values is 0. */
bool mask_has_two_values(Graph *g, Value *v);
/* Bytes of v as floats in fresh memory. */
float *const_floats(Graph *g, const Value *v);

#endif
