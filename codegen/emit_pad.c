/* emit_pad.c - movement with indices of its own: Slice (a nest, or a kernel
 * when operands are known at run time only), Pad, Trilu, ReverseSequence.
 * 16-bit floats are moved as uint16_t.
 */
#include "loops.h"

#include <string.h>

#include "../ir/move.h"

EmitFn emit_slice, emit_pad, emit_trilu, emit_reversesequence, emit_move;

static DType storage_type(DType dt)
{
    return dt == DT_F16 || dt == DT_BF16 ? DT_U16 : dt;
}

/* const int64_t NAME[rank] = { ... }; */
static void dims_line(Emit *e, const char *name, const Type *t)
{
    Buf b;

    buf_init(&b, e->arena);
    for (int i = 0; i < t->rank; i++)
        buf_printf(&b, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    e_line(e, "const int64_t %s[%d] = { %s };", name, t->rank, b.s);
}

static void all_line(Emit *e, const char *name, int rank, const char *value)
{
    Buf b;

    buf_init(&b, e->arena);
    for (int i = 0; i < rank; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", value);
    e_line(e, "int64_t %s[%d] = { %s };", name, rank, b.s);
}

/* opens a loop over the listed axes with `axis` and `k` for its body;
 * operand `axes` may be absent */
static void axes_loop(Emit *e, const Node *n, int axes, int64_t count,
                      int rank)
{
    const char *at = node_in(n, axes)
                         ? arena_printf(e->arena, "x%d[k]", axes) : "k";

    e_open(e, "for (int k = 0; k < %lld; k++)", (long long)count);
    e_line(e, "const int64_t axis = %s < 0 ? %s + %d : %s;", at, at, rank,
           at);
    e_open(e, "if (axis < 0 || axis >= %d)", rank);
    e_line(e, "continue;");
    e_close(e);
}

static bool const_slice(const Node *n)
{
    for (int i = 1; i < n->nin; i++)
        if (n->in[i] && !value_is_const(n->in[i]))
            return false;
    return true;
}

void emit_slice(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;

    if (const_slice(n)) {
        emit_move(e, n);
        return;
    }
    if (x->rank == 0 || type_elems(x) == 0) {
        e_line(e, x->rank ? "memset(y0, 0, %lld);"
                          : "memcpy(y0, x0, %lld);",
               (long long)type_bytes(y));
        return;
    }
    dims_line(e, "xdim", x);
    dims_line(e, "ydim", y);
    all_line(e, "first", x->rank, "0");
    all_line(e, "step", x->rank, "1");
    axes_loop(e, n, 3, type_elems(&n->in[1]->type), x->rank);
    if (node_in(n, 4))
        e_line(e, "step[axis] = x4[k];");
    e_line(e, "first[axis] = %s(xdim[axis], x1[k]);",
           emit_kernel(e, "slice_first", DT_NONE, DT_NONE));
    e_close(e);
    emit_call(e, "slice_T", storage_type(x->dt), DT_NONE,
              "y0, x0, %d, xdim, ydim, first, step", x->rank);
}

/* fills y0 with the value, where not every element is copied */
static void pad_fill(Emit *e, const Node *n, const Type *y)
{
    const Value *v = node_in(n, 2);
    int64_t count = type_elems(y);

    if (!v || (value_is_const(v) && elem_get(y->dt, v->data, 0) == 0 &&
               !memchr(v->data, 0x80, (size_t)dtype_bytes(y->dt)))) {
        e_line(e, "memset(y0, 0, %lld);", (long long)type_bytes(y));
        return;
    }
    e_open(e, "for (%s i = 0; i < %lld; i++)", index_type(count),
           (long long)count);
    e_line(e, "y0[i] = x2[0];");
    e_close(e);
}

/* constant pads, mode constant: fill, then copy the inner part */
static void pad_copy(Emit *e, const Node *n, const PadAxis *pad)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    int64_t xs[MAX_RANK], ys[MAX_RANK], xbase = 0, ybase = 0;
    Type part = *x;
    Nest l;

    type_strides(x, xs);
    type_strides(y, ys);
    for (int i = 0; i < x->rank; i++) {
        int64_t b = pad[i].begin, end = x->dim[i] + b;
        int64_t from = b > 0 ? b : 0;
        part.dim[i] = (end < y->dim[i] ? end : y->dim[i]) - from;
        if (part.dim[i] < 0)
            part.dim[i] = 0;
        ybase += from * ys[i];
        xbase += (from - b) * xs[i];
    }
    if (type_elems(&part) < type_elems(y))
        pad_fill(e, n, y);
    nest_init(&l, part.rank, part.dim);
    nest_strided(&l, ybase, ys);
    nest_strided(&l, xbase, xs);
    nest_collapse(&l);
    emit_copy_nest(e, &l, x->dt, "y0", "x0");
}

static const char *pad_value(Emit *e, const Node *n)
{
    (void)e;
    return node_in(n, 2) ? "x2[0]" : "0";
}

/* begin[] of every axis, from run-time operands */
static void pad_begins(Emit *e, const Node *n, int rank)
{
    const Value *axes = node_in(n, 3);
    int64_t count = axes ? type_elems(&axes->type) : rank;

    all_line(e, "begin", rank, "0");
    axes_loop(e, n, 3, count, rank);
    e_line(e, "begin[axis] = %s(x1[k]);",
           emit_kernel(e, "pad_limit", DT_NONE, DT_NONE));
    e_close(e);
}

void emit_pad(Emit *e, const Node *n)
{
    const Type *x = &n->in[0]->type;
    const Tensor *in[4] = { NULL };
    Tensor store[4];
    const Value *which;
    PadAxis pad[MAX_RANK];
    PadMode mode = PAD_CONSTANT;
    Type begin = *x;
    bool fixed = value_is_const(n->in[1]) &&
                 (!node_in(n, 3) || value_is_const(n->in[3]));

    pad_mode(n, &mode);
    const_operands(n, n->nin, store, in, &which);
    if (fixed)
        pad_axes(n, x, in[1], n->nin > 3 ? in[3] : NULL, pad);
    if (x->rank == 0) {
        e_line(e, "y0[0] = x0[0];");
        return;
    }
    if (fixed && mode == PAD_CONSTANT) {
        pad_copy(e, n, pad);
        return;
    }
    dims_line(e, "xdim", x);
    dims_line(e, "ydim", &n->out[0]->type);
    for (int i = 0; fixed && i < x->rank; i++)
        begin.dim[i] = pad[i].begin;
    if (fixed)
        dims_line(e, "begin", &begin);
    else
        pad_begins(e, n, x->rank);
    emit_call(e, "pad_T", storage_type(x->dt), DT_NONE,
              "y0, x0, %s, %d, %d, xdim, ydim, begin", pad_value(e, n),
              (int)mode, x->rank);
}

void emit_trilu(Emit *e, const Node *n)
{
    const Type *t = &n->in[0]->type;
    int64_t rows = t->dim[t->rank - 2], cols = t->dim[t->rank - 1];

    emit_call(e, "trilu", DT_NONE, DT_NONE,
              "(uint8_t *)y0, (const uint8_t *)x0, %lld, %lld, %lld, %d, %s, "
              "%d", (long long)type_span(t, 0, t->rank - 1), (long long)rows,
              (long long)cols, dtype_bytes(t->dt),
              node_in(n, 1) ? "x1[0]" : "0",
              ATTRS(trilu, n)->upper != 0);
}

void emit_reversesequence(Emit *e, const Node *n)
{
    const Type *t = &n->in[0]->type;
    int time = ATTRS(reversesequence, n)->time_axis != 0, batch = !time;
    int64_t run = type_span(t, 2, t->rank) * dtype_bytes(t->dt);
    int64_t stride[2] = { run * t->dim[1], run };

    emit_call(e, "reverse_sequence", DT_NONE, DT_NONE,
              "(uint8_t *)y0, (const uint8_t *)x0, x1, %lld, %lld, %lld, "
              "%lld, %lld", (long long)t->dim[batch],
              (long long)t->dim[time], (long long)stride[batch],
              (long long)stride[time], (long long)run);
}
