/* pad.c - Pad (ONNX 25), Trilu, ReverseSequence.
 *
 * Pads known only at run time: the output keeps its declared shape, and each
 * axis begins where the run-time pads say. Negative pads crop; together with
 * positive ones on one axis only mode constant defines what they mean.
 */
#include "../hooks.h"
#include "../move.h"

#include <string.h>

bool pad_mode(const Node *n, PadMode *mode)
{
    static const char *const names[] = { "constant", "reflect", "edge",
                                         "wrap" };

    for (int i = 0; i < 4; i++)
        if (!strcmp(ATTRS(pad, n)->mode, names[i])) {
            *mode = (PadMode)i;
            return true;
        }
    return node_error(n, "mode '%s' is not supported", ATTRS(pad, n)->mode);
}

static bool pad_range(const Node *n, int64_t p)
{
    if (p < -((int64_t)1 << 40) || p > (int64_t)1 << 40)
        return node_error(n, "pad %lld is out of range", (long long)p);
    return true;
}

bool pad_axes(const Node *n, const Type *x, const Tensor *pads,
              const Tensor *axes, PadAxis *out)
{
    int64_t count = axes ? type_elems(&axes->type) : x->rank;
    bool seen[MAX_RANK] = { false };

    memset(out, 0, sizeof *out * MAX_RANK);
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = axes ? elem_get_int(axes->type.dt, axes->data, i) : i;
        int64_t b = elem_get_int(pads->type.dt, pads->data, i);
        int64_t e = elem_get_int(pads->type.dt, pads->data, i + count);
        int a;
        if (!node_axis(n, axis, x->rank, &a) || !pad_range(n, b) ||
            !pad_range(n, e))
            return false;
        if (seen[a])
            return node_error(n, "axis %d is given twice", a);
        seen[a] = true;
        out[a].begin = b;
        out[a].end = e;
    }
    return true;
}

int64_t pad_source(PadMode mode, int64_t i, int64_t d)
{
    int64_t period;

    if (i >= 0 && i < d)
        return i;
    switch (mode) {
    case PAD_CONSTANT:
        return -1;
    case PAD_EDGE:
        return i < 0 ? 0 : d - 1;
    case PAD_WRAP:
        i %= d;
        return i < 0 ? i + d : i;
    default:
        if (d == 1)
            return 0;
        period = 2 * (d - 1);
        i %= period;
        if (i < 0)
            i += period;
        return i < d ? i : period - i;
    }
}

/* pads and axes are int vectors of fitting lengths; value is a scalar */
static bool check_pad(const Node *n)
{
    const Value *pads = n->in[1], *value = node_in(n, 2);
    const Value *axes = node_in(n, 3);
    int64_t count = n->in[0]->type.rank;

    if (axes && ((axes->type.dt != DT_I32 && axes->type.dt != DT_I64) ||
                 axes->type.rank != 1))
        return node_error(n, "axes '%s' are no vector of integers",
                          axes->name);
    if (axes)
        count = axes->type.dim[0];
    if (count > MAX_RANK)
        return node_error(n, "pads %lld axes", (long long)count);
    if (!dtype_is_int(pads->type.dt) || pads->type.rank != 1 ||
        pads->type.dim[0] != 2 * count)
        return node_error(n, "pads '%s' do not list %lld numbers",
                          pads->name, (long long)(2 * count));
    if (value && (value->type.dt != n->in[0]->type.dt ||
                  type_elems(&value->type) != 1))
        return node_error(n, "value '%s' is no %s scalar", value->name,
                          dtype_name(n->in[0]->type.dt));
    return true;
}

/* may elements of this axis be made by the mode? */
static bool check_mode(const Node *n, PadMode mode, PadAxis p, int64_t d,
                       int axis)
{
    if (mode == PAD_CONSTANT || (p.begin <= 0 && p.end <= 0))
        return true;
    if (p.begin < 0 || p.end < 0)
        return node_error(n, "pads %lld and %lld of axis %d crop and extend "
                          "in mode %s", (long long)p.begin,
                          (long long)p.end, axis, ATTRS(pad, n)->mode);
    if (d == 0)
        return node_error(n, "axis %d has nothing to repeat", axis);
    return true;
}

static bool declared_pad(Node *n, PadMode mode, const Value *which)
{
    const Type *x = &n->in[0]->type;

    if (!infer_declared(n, which))
        return false;
    if (n->out[0]->type.rank != x->rank)
        return node_error(n, "output is declared with rank %d, not %d",
                          n->out[0]->type.rank, x->rank);
    n->out[0]->type.dt = x->dt;
    for (int i = 0; i < x->rank; i++)
        if (mode != PAD_CONSTANT && !x->dim[i] && n->out[0]->type.dim[i])
            return node_error(n, "axis %d has nothing to repeat", i);
    return true;
}

bool infer_pad(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    PadAxis pad[MAX_RANK];
    const Tensor *in[4];
    Tensor store[4];
    const Value *which;
    PadMode mode;
    Type t = *x;

    (void)g;
    if (!raw_known(n) || !pad_mode(n, &mode) || !check_pad(n))
        return false;
    for (int i = 1; i < 4; i += 2)
        if (node_in(n, i) && !value_is_const(n->in[i]))
            return declared_pad(n, mode, n->in[i]);
    const_operands(n, n->nin, store, in, &which);
    if (!pad_axes(n, x, in[1], n->nin > 3 ? in[3] : NULL, pad))
        return false;
    for (int i = 0; i < x->rank; i++) {
        if (!check_mode(n, mode, pad[i], x->dim[i], i))
            return false;
        t.dim[i] += pad[i].begin + pad[i].end;
        if (t.dim[i] < 0)
            return node_error(n, "pads %lld and %lld crop more than the "
                              "%lld of axis %d", (long long)pad[i].begin,
                              (long long)pad[i].end, (long long)x->dim[i],
                              i);
    }
    n->out[0]->type = t;
    return true;
}

/* for every axis, the source index of each output index; -1: constant */
static int64_t **pad_tables(const Node *n, const Type *x, const Type *y,
                            const PadAxis *pad, Arena *scratch)
{
    int64_t **table = NEW_ARRAY(scratch, int64_t *, MAX_RANK);
    PadMode mode = PAD_CONSTANT;

    pad_mode(n, &mode);
    for (int a = 0; a < y->rank; a++) {
        table[a] = NEW_ARRAY(scratch, int64_t, y->dim[a] + 1);
        for (int64_t i = 0; i < y->dim[a]; i++)
            table[a][i] = pad_source(mode, i - pad[a].begin, x->dim[a]);
    }
    return table;
}

bool eval_pad(const Node *n, const Tensor *const *in, Tensor *const *out,
              Arena *scratch, Diag *diag)
{
    const Type *x = &in[0]->type, *y = &out[0]->type;
    uint8_t *raw = raw_out(out[0], scratch);
    const uint8_t *src = raw_in(in[0], scratch), *fill = NULL;
    int64_t own[MAX_RANK], i[MAX_RANK] = { 0 }, count = type_elems(y);
    int size = dtype_bytes(x->dt);
    PadAxis pad[MAX_RANK];
    int64_t **table;

    (void)diag;
    if (!pad_axes(n, x, in[1], n->nin > 3 ? in[3] : NULL, pad))
        return false;
    if (n->nin > 2 && in[2])
        fill = raw_in(in[2], scratch);
    table = pad_tables(n, x, y, pad, scratch);
    type_strides(x, own);
    for (int64_t k = 0; k < count; k++) {
        int64_t at = 0;
        for (int a = 0; a < y->rank && at >= 0; a++) {
            int64_t from = table[a][i[a]];
            at = from < 0 ? -1 : at + from * own[a];
        }
        if (at >= 0)
            memcpy(raw + k * size, src + at * size, (size_t)size);
        else if (fill)
            memcpy(raw + k * size, fill, (size_t)size);
        for (int a = y->rank - 1; a >= 0 && ++i[a] == y->dim[a]; a--)
            i[a] = 0;
    }
    raw_done(out[0], raw);
    return true;
}

bool infer_trilu(Graph *g, Node *n)
{
    const Value *k = node_in(n, 1);

    (void)g;
    if (n->in[0]->type.rank < 2)
        return node_error(n, "operand has rank %d, not 2 or more",
                          n->in[0]->type.rank);
    if (k && (k->type.dt != DT_I64 || type_elems(&k->type) != 1))
        return node_error(n, "k '%s' is no int64 scalar", k->name);
    n->out[0]->type = n->in[0]->type;
    return raw_known(n);
}

int64_t trilu_first(int64_t k, int64_t row, int64_t cols)
{
    if (k >= cols)
        return cols;
    row += k < -row ? -row : k;
    return row > cols ? cols : row;
}

bool eval_trilu(const Node *n, const Tensor *const *in, Tensor *const *out,
                Arena *scratch, Diag *diag)
{
    const Type *t = &in[0]->type;
    uint8_t *y = raw_out(out[0], scratch);
    const uint8_t *x = raw_in(in[0], scratch);
    int64_t rows = t->dim[t->rank - 2], cols = t->dim[t->rank - 1];
    int64_t k = n->nin > 1 && in[1] ? elem_get_int(DT_I64, in[1]->data, 0)
                                    : 0;
    int64_t count = type_span(t, 0, t->rank - 1), size = dtype_bytes(t->dt);
    bool upper = ATTRS(trilu, n)->upper != 0;

    (void)diag;
    for (int64_t r = 0; r < count; r++) {
        /* upper keeps [first, cols), lower [0, first of the next k) */
        int64_t from = 0, to = cols, at = r * cols;
        if (upper)
            from = trilu_first(k, r % rows, cols);
        else if (k < INT64_MAX)
            to = trilu_first(k + 1, r % rows, cols);
        memcpy(y + (at + from) * size, x + (at + from) * size,
               (size_t)((to - from) * size));
    }
    raw_done(out[0], y);
    return true;
}

static bool sequence_axes(const Node *n, int *time, int *batch)
{
    *time = ATTRS(reversesequence, n)->time_axis != 0;
    *batch = !*time;
    if (ATTRS(reversesequence, n)->batch_axis != *batch ||
        ATTRS(reversesequence, n)->time_axis != *time)
        return node_error(n, "axes %lld and %lld are not 0 and 1",
                          (long long)ATTRS(reversesequence, n)->batch_axis,
                          (long long)ATTRS(reversesequence, n)->time_axis);
    return true;
}

bool infer_reversesequence(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type, *lens = &n->in[1]->type;
    int time, batch;

    (void)g;
    if (!raw_known(n) || !sequence_axes(n, &time, &batch))
        return false;
    if (x->rank < 2)
        return node_error(n, "operand has rank %d, not 2 or more", x->rank);
    if (lens->dt != DT_I64 || lens->rank != 1 ||
        lens->dim[0] != x->dim[batch])
        return node_error(n, "'%s' does not list %lld lengths",
                          n->in[1]->name, (long long)x->dim[batch]);
    n->out[0]->type = *x;
    return true;
}

/* lengths are clamped into 0..time */
bool eval_reversesequence(const Node *n, const Tensor *const *in,
                          Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Type *t = &in[0]->type;
    uint8_t *y = raw_out(out[0], scratch);
    const uint8_t *x = raw_in(in[0], scratch);
    int64_t run = type_span(t, 2, t->rank) * dtype_bytes(t->dt);
    int64_t stride[2] = { run * t->dim[1], run };
    int time, batch;

    (void)diag;
    if (!sequence_axes(n, &time, &batch))
        return false;
    for (int64_t b = 0; b < t->dim[batch]; b++) {
        int64_t len = elem_get_int(DT_I64, in[1]->data, b);
        if (len > t->dim[time])
            len = t->dim[time];
        for (int64_t i = 0; i < t->dim[time]; i++) {
            int64_t from = i < len ? len - 1 - i : i;
            memcpy(y + b * stride[batch] + i * stride[time],
                   x + b * stride[batch] + from * stride[time], (size_t)run);
        }
    }
    raw_done(out[0], y);
    return true;
}
