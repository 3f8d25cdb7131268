/* emit.h - what the emitters of one op family share.
 *
 * An emitter writes the body of one C function, `static void NAME_step_7
 * (NAME_arena *a)`, into e->c. In it x0, x1, ... are the operands (typed
 * const pointers to element 0), y0, y1, ... the results and s the node's
 * scratch (uint8_t *): they are declared when the body names them. Kernels
 * of runtime_stub/kernels are asked for with emit_call, once per call; the
 * writer pastes each needed variant once, in dependency order.
 */
#ifndef MCUFC_EMIT_H
#define MCUFC_EMIT_H

#include "../ir/ir.h"

typedef struct Emit Emit;
typedef void EmitFn(Emit *e, const Node *n);
typedef int64_t ScratchFn(const Node *n);

struct Emit {
    Graph *g;
    Arena *arena;
    Buf *c;                     /* body of the step being written */
    int indent;                 /* in levels of four spaces */
    const char *name;           /* prefix of symbols: kws */
    const char *upper;          /* of macros: KWS */
    struct EmitState *state;    /* emit.c's own */
};

/* One line of the body, indented; e_open ends in " {" and indents. */
void e_line(Emit *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void e_open(Emit *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void e_close(Emit *e);

/* Ask for kernel "softmax_T" (file kernels/ X.c, function mcu_softmax_T)
 * with T = dt (and I = index type, or DT_NONE); returns the C name to call:
 * kws_softmax_f32. The string lives as long as e. */
const char *emit_kernel(Emit *e, const char *kernel, DType t, DType i);
/* e_line of `KERNEL(args);` */
void emit_call(Emit *e, const char *kernel, DType t, DType i,
               const char *args, ...)
    __attribute__((format(printf, 5, 6)));

/* A constant array made at compile time (packed weights, tables); equal
 * bytes are shared. Returns its C name, an array of dtype_ctype(dt). */
const char *emit_const(Emit *e, const char *hint, DType dt, int64_t n,
                       const void *data);
/* The layout, 1 or more, that weights have in the file: what the first step
 * that reads them wanted. Two would be two copies. */
int emit_layout(Emit *e, const Value *w, int wanted);
/* C literal of a number in the dtype's C type, exact: 0x1.8p+1f, -7, 3u */
const char *emit_literal(Emit *e, DType dt, double x);
const char *emit_literal_int(Emit *e, DType dt, int64_t x);

/* codegen's table, emit.def: which op has which emitter */
EmitFn *emit_fn(Op op);         /* NULL: not in C yet */
int64_t emit_scratch(const Node *n);    /* bytes its kernel asks for */
/* Does the emitter of a turn's node heed value->plane of this slot? */
bool emit_takes_planes(const Node *n, int slot);

#endif
