/* move.h - what the operands of the movement ops mean, for their inference
 * and evaluation (ops/move*.c) and for codegen/emit_move.c. */
#ifndef MCUFC_MOVE_H
#define MCUFC_MOVE_H

#include "nest.h"

/* Along one axis of Slice: elements start, start + step, ... len of them. */
typedef struct SliceAxis { int64_t start, step, len; } SliceAxis;

/* Per axis of x; in[1..4] are starts, ends, axes, steps (may be NULL). */
bool slice_axes(const Node *n, const Type *x, const Tensor *const *in,
                SliceAxis *out);
/* The operands of n that are constant, as tensors (`in` has room for n->nin;
 * the rest NULL); false when one of [first, nin) is only known at run time:
 * then *which is it. */
bool const_operands(const Node *n, int first, Tensor *store,
                    const Tensor **in, const Value **which);

/* Pads per axis, begin and end, from operands 1 and 3 of Pad. */
typedef struct PadAxis { int64_t begin, end; } PadAxis;
typedef enum PadMode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } PadMode;
bool pad_mode(const Node *n, PadMode *mode);
bool pad_axes(const Node *n, const Type *x, const Tensor *pads,
              const Tensor *axes, PadAxis *out);
/* Which element of an axis of d an output element reads that is i behind
 * its first; -1: the constant. */
int64_t pad_source(PadMode mode, int64_t i, int64_t d);

/* Movement that is strided copies is move_count parts. Part k writes result
 * `out` from operand `in`: operand 0 of the nest is written, 1 is read. A
 * Slice must have constant operands. */
typedef struct Move { int in, out; Nest nest; } Move;
int move_count(const Node *n);
void move_part(const Node *n, int k, Move *m);

/* perm of Transpose, its default filled in */
void transpose_perm(const Node *n, int rank, int *perm);

/* Column where row r of an upper triangle with diagonal k begins. */
int64_t trilu_first(int64_t k, int64_t row, int64_t cols);

/* 4-bit types are moved one element per byte: unpack an operand; room for a
 * result; pack it. Other types pass through. */
const void *raw_in(const Tensor *t, Arena *scratch);
void *raw_out(Tensor *t, Arena *scratch);
void raw_done(Tensor *t, const void *raw);
/* false after a message: 4-bit elements, and an operand is not constant;
 * for ops that generated C does only in whole bytes */
bool raw_known(const Node *n);

#endif
