/* loops.h - writes loop nests over strided operands as C.
 *
 * Elementwise, quantization and movement code is one nest each. How to use
 * it, for y = x * scale with a scale per channel:
 *
 *     Loops l;
 *     int x, s, y;
 *     loops_begin(&l, e, rank, dim);           the shape iterated over
 *     y = loops_write(&l, n, 0);               result 0: dense
 *     x = loops_read(&l, n, 0);                operand 0: broadcasts
 *     s = loops_read_as(&l, n, 1, &type);      operand 1, seen as [C,1,1]
 *     loops_open(&l);                          writes the for statements
 *     loops_store(&l, y, "%s * %s", loops_load(&l, x), loops_load(&l, s));
 *     loops_close(&l);
 *
 * loops_open collapses adjacent dims, so the innermost loop is as long and
 * as contiguous as the strides allow; operands that do not move in it are
 * loaded before it. loops_load gives a C expression of the element's value:
 * float for 16-bit floats, int for 4-bit integers, a literal for a constant
 * scalar (call it after loops_open; the expression has no side effects but
 * may be a call, so put it into a local when it is needed twice).
 * loops_store converts back, rounding once. A shape seen differently (split
 * dims for blocks, an axis for channels) is a matter of loops_begin's dims
 * and the Type passed to loops_read_as: strides come from that type.
 * An operand that shares its bytes with result 0 (T_MAP in place) is read
 * through the result's pointer, so compilers still vectorize.
 */
#ifndef MCUFC_LOOPS_H
#define MCUFC_LOOPS_H

#include "../ir/nest.h"
#include "emit.h"

typedef struct LoopOperand {
    const Value *v;
    const char *ptr;            /* its name in C: x0, y0 */
    const char *value;          /* fixed C expression, or NULL: load it */
    DType dt;
} LoopOperand;

typedef struct Loops {
    Emit *e;
    Nest nest;
    LoopOperand op[NEST_OPS];
    int opened;                 /* braces to close */
    bool backward;              /* the last element first */
} Loops;

void loops_begin(Loops *l, Emit *e, int rank, const int64_t *dim);
int loops_write(Loops *l, const Node *n, int out);
int loops_read(Loops *l, const Node *n, int in);
int loops_read_as(Loops *l, const Node *n, int in, const Type *seen);
void loops_open(Loops *l);
void loops_close(Loops *l);
const char *loops_load(Loops *l, int op);
void loops_store(Loops *l, int op, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* constants become literals by default; this one shall be loaded */
void loops_no_literal(Loops *l, int op);

/* The index of operand k as C, over the loop variables i0, i1, ...; of the
 * row's first element when `row`. For emitters that write their own bodies. */
const char *nest_index(Emit *e, const Nest *nest, int k, bool row);
/* for statements of dims [from, to); returns how many need e_close */
int nest_open(Emit *e, const Nest *nest, int from, int to);
/* C expression of element `index` of an array as a value; and the line that
 * stores an expression there (C type of the value: float for 16 bit) */
const char *elem_load(Emit *e, DType dt, const char *ptr, const char *index);
void elem_store(Emit *e, DType dt, const char *ptr, const char *index,
                const char *expr);
/* The loops that copy elements of dt: operand 0 of a collapsed nest is
 * written, 1 is read; contiguous rows by memcpy. */
void emit_copy_nest(Emit *e, const Nest *nest, DType dt, const char *y,
                    const char *x);
/* "x1", or "y0" when operand i lives in the bytes of result 0 */
const char *operand_name(Emit *e, const Node *n, int i);
/* a literal that may stand behind a minus sign */
const char *operand_literal(Emit *e, const char *literal);
/* int, or int64_t where int is too small to index `n` elements */
const char *index_type(int64_t n);

#endif
