/* emit_signal.c - DFT and STFT by mixed-radix transforms over constant
 * tables; window functions as constants; MelWeightMatrix by its kernel.
 *
 * An axis or length that is a run-time operand must lead to the declared
 * shape, which leaves a few candidates: each gets its own table and code
 * under a condition. When none applies the result is zero.
 */
#include <string.h>

#include "../ir/ops/signal.h"
#include "../ir/ops/window_fn.h"
#include "loops.h"

EmitFn emit_dft, emit_stft, emit_window, emit_melweight;
ScratchFn scratch_dft, scratch_stft;

/* cos, sin of 2 pi k / len in the elements' type */
static const char *table(Emit *e, DType dt, int64_t len)
{
    double *t = dft_table(len, e->arena);
    void *v = arena_array(e->arena, (size_t)(2 * len), 8);

    for (int64_t k = 0; k < 2 * len; k++)
        elem_set(dt, v, k, t[k]);
    return emit_const(e, "turns", dt, 2 * len, v);
}

/* a constant scalar operand, or -1 when it is left out; false: run time */
static bool known(const Node *n, int i, int64_t *out)
{
    const Value *v = node_in(n, i);

    *out = -1;
    if (v && !value_is_const(v))
        return false;
    if (v)
        *out = elem_get_int(v->type.dt, v->data, 0);
    return true;
}

/* Lengths that give `out` points: the one that is known, or those that the
 * shape allows. */
static int lengths(bool is_known, int64_t len, int64_t out, bool half,
                   int64_t *list)
{
    if (is_known) {
        list[0] = len;
        return 1;
    }
    list[0] = half ? 2 * out - 2 : out;
    list[1] = 2 * out - 1;
    return half ? 2 : 1;
}

typedef void DftCase(void *user, const Node *n, const Dft *d, bool sure_axis,
                     bool sure_len);

/* Does this axis and length make the declared shape? */
static bool fits(const Node *n, int axis, int64_t len, Dft *d)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    bool back = ATTRS(dft, n)->inverse && ATTRS(dft, n)->onesided;

    if (len < 0)
        len = back ? 2 * (x->dim[axis] - 1) : x->dim[axis];
    if (len < 1 || len > SIGNAL_LIMIT || !dft_read(n, axis, len, d))
        return false;
    for (int i = 0; i < x->rank - 1; i++)
        if (y->dim[i] != (i == axis ? d->out : x->dim[i]))
            return false;
    return y->dim[x->rank - 1] == (d->complex_out ? 2 : 1);
}

static void each_case(const Node *n, DftCase *f, void *user)
{
    int64_t axis, len, list[2];
    bool sure_axis = known(n, 2, &axis), sure_len = known(n, 1, &len);
    bool half = ATTRS(dft, n)->onesided && !ATTRS(dft, n)->inverse;
    int rank = n->in[0]->type.rank;
    Dft d;

    if (!node_in(n, 2))
        axis = -2;
    axis += axis < 0 ? rank : 0;
    for (int a = 0; a < rank - 1; a++) {
        int count = lengths(sure_len, len, n->out[0]->type.dim[a], half,
                            list);
        if (sure_axis && a != axis)
            continue;
        for (int i = 0; i < count; i++)
            if (fits(n, a, list[i], &d))
                f(user, n, &d, sure_axis, sure_len);
    }
}

static void most_points(void *user, const Node *n, const Dft *d, bool sa,
                        bool sl)
{
    int64_t *most = user;

    (void)n, (void)sa, (void)sl;
    *most = d->len > *most ? d->len : *most;
}

int64_t scratch_dft(const Node *n)
{
    int64_t most = 0;

    each_case(n, most_points, &most);
    return 4 * most * dtype_bytes(n->in[0]->type.dt);
}

static void open_case(Emit *e, const Node *n, const Dft *d, bool sure_axis,
                      bool sure_len)
{
    const char *axis = "", *len = "";

    if (!sure_axis)
        axis = arena_printf(e->arena, "(x2[0] == %d || x2[0] == %d)",
                            d->axis, d->axis - n->in[0]->type.rank);
    if (!sure_len)
        len = arena_printf(e->arena, "x1[0] == %lld", (long long)d->len);
    if (!sure_axis || !sure_len)
        e_open(e, "if (%s%s%s)", axis, *axis && *len ? " && " : "", len);
}

static void emit_case(void *user, const Node *n, const Dft *d, bool sure_axis,
                      bool sure_len)
{
    Emit *e = user;
    DType dt = n->in[0]->type.dt;
    const char *c = dtype_ctype(dt);
    int pi = d->complex_in ? 2 : 1, po = d->complex_out ? 2 : 1;
    int indent = e->indent;

    open_case(e, n, d, sure_axis, sure_len);
    e_open(e, "for (int32_t o = 0; o < %lld; o++)", (long long)d->outer);
    e_open(e, "for (int32_t i = 0; i < %lld; i++)", (long long)d->inner);
    e_line(e, "const %s *to;", c);
    emit_call(e, "dft_load_T", dt, DT_NONE, "p, x0 + (o * %lld + i) * %d, "
              "%lld, %lld, %lld, %d, %d", (long long)(d->in * d->inner), pi,
              (long long)d->in, (long long)d->len, (long long)d->inner * pi,
              pi, d->half_in);
    e_line(e, "to = %s(p, p + %lld, %s, %lld, %s);",
           emit_kernel(e, "fft_T", dt, DT_NONE), 2 * (long long)d->len,
           table(e, dt, d->len), (long long)d->len,
           emit_literal(e, dt, d->inverse ? 1 : -1));
    emit_call(e, "dft_store_T", dt, DT_NONE, "y0 + (o * %lld + i) * %d, to, "
              "%lld, %lld, %d, %s", (long long)(d->out * d->inner), po,
              (long long)d->out, (long long)d->inner * po, po,
              emit_literal(e, dt, d->inverse ? 1 / (double)d->len : 1));
    while (e->indent > indent)
        e_close(e);
}

void emit_dft(Emit *e, const Node *n)
{
    const char *c = dtype_ctype(n->in[0]->type.dt);
    int64_t axis, len, count = type_elems(&n->out[0]->type);

    if (count == 0)
        return;
    if (!known(n, 2, &axis) || !known(n, 1, &len))
        e_line(e, "memset(y0, 0, %lldu * sizeof *y0);", (long long)count);
    if (scratch_dft(n))
        e_line(e, "%s *const p = (%s *)(void *)s;", c, c);
    each_case(n, emit_case, e);
}

/* Candidates for the frame length; the count. */
static int frame_lengths(const Node *n, int64_t *list)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    const Value *w = node_in(n, 2);
    int64_t len, samples = x->dim[1];
    bool sure = known(n, 3, &len);
    int count, kept = 0;

    if (w || !node_in(n, 3)) {
        sure = true;
        len = w ? w->type.dim[0] : samples;
    }
    count = lengths(sure, len, y->dim[2], ATTRS(stft, n)->onesided != 0,
                    list);
    for (int i = 0; i < count; i++) {
        int64_t bins = ATTRS(stft, n)->onesided ? list[i] / 2 + 1 : list[i];
        if (list[i] >= 1 && list[i] <= samples && list[i] <= SIGNAL_LIMIT &&
            bins == y->dim[2])
            list[kept++] = list[i];
    }
    return kept;
}

int64_t scratch_stft(const Node *n)
{
    int64_t list[2], most = 0;
    int count = frame_lengths(n, list);

    for (int i = 0; i < count; i++)
        most = list[i] > most ? list[i] : most;
    return 4 * most * dtype_bytes(n->in[0]->type.dt);
}

/* where a frame starts: never behind the last whole one */
static void emit_start(Emit *e, const Node *n, int64_t room)
{
    int64_t step;

    if (known(n, 1, &step)) {           /* beyond the room: one frame */
        e_line(e, "const int32_t at = f * %lld;",
               (long long)(step < room ? step : room));
        return;
    }
    e_line(e, "const int64_t step = x1[0] < 0 ? 0 : x1[0] < %lld ? x1[0] : "
           "%lld;", (long long)room, (long long)room);
    e_line(e, "const int32_t at = f * step < %lld ? (int32_t)(f * step) : "
           "%lld;", (long long)room, (long long)room);
}

static void emit_frames(Emit *e, const Node *n, int64_t len)
{
    const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
    int parts = x->rank == 3 ? (int)x->dim[2] : 1;
    long long bins = (long long)y->dim[2];

    e_open(e, "for (int32_t b = 0; b < %lld; b++)", (long long)y->dim[0]);
    e_open(e, "for (int32_t f = 0; f < %lld; f++)", (long long)y->dim[1]);
    emit_start(e, n, x->dim[1] - len);
    emit_call(e, "stft_load_T", x->dt, DT_NONE, "p, x0 + (b * %lld + at) * "
              "%d, %s, %lld, %d", (long long)x->dim[1], parts,
              node_in(n, 2) ? "x2" : "NULL", (long long)len, parts);
    e_line(e, "memcpy(y0 + (b * %lld + f) * %lld, %s(p, p + %lld, %s, %lld, "
           "%s), %lldu * sizeof *p);", (long long)y->dim[1], 2 * bins,
           emit_kernel(e, "fft_T", x->dt, DT_NONE), 2 * (long long)len,
           table(e, x->dt, len), (long long)len,
           emit_literal(e, x->dt, -1), 2 * bins);
    e_close(e);
    e_close(e);
}

void emit_stft(Emit *e, const Node *n)
{
    const Type *y = &n->out[0]->type;
    const char *c = dtype_ctype(y->dt);
    int64_t list[2], len;
    int count = frame_lengths(n, list);
    bool sure = node_in(n, 2) || known(n, 3, &len);

    if (type_elems(y) == 0)
        return;
    if (!sure || !count)
        e_line(e, "memset(y0, 0, %lldu * sizeof *y0);",
               (long long)type_elems(y));
    if (count)
        e_line(e, "%s *const p = (%s *)(void *)s;", c, c);
    for (int i = 0; i < count; i++) {
        if (!sure)
            e_open(e, "if (x3[0] == %lld)", (long long)list[i]);
        emit_frames(e, n, list[i]);
        if (!sure)
            e_close(e);
    }
}

void emit_window(Emit *e, const Node *n)
{
    const Type *t = &n->out[0]->type;
    int64_t size = t->dim[0];
    void *v = arena_array(e->arena, (size_t)size, 8);

    if (size == 0)
        return;
    for (int64_t i = 0; i < size; i++)
        elem_set(t->dt, v, i, window_value(n, i, size));
    e_line(e, "memcpy(y0, %s, %lldu * sizeof *y0);",
           emit_const(e, "window", t->dt, size, v), (long long)size);
}

void emit_melweight(Emit *e, const Node *n)
{
    const Type *t = &n->out[0]->type;

    if (type_elems(t) == 0)
        return;
    emit_call(e, "mel_weights_T", t->dt, DT_NONE, "y0, %lld, %lld, "
              "(double)x1[0], (double)x2[0], (double)x3[0], (double)x4[0]",
              (long long)t->dim[0], (long long)t->dim[1]);
}
