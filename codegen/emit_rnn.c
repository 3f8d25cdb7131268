/* emit_rnn.c - RNN, GRU, LSTM: loops over batch and time; per step the
 * products (kernels of rnn.c) and one loop over the hidden state with the
 * activations in it. Constant weights are transposed at compile time. The
 * scratch holds the gates g, the state h, and c or t.
 */
#include <stdio.h>
#include <string.h>

#include "../ir/ops/rnn.h"
#include "loops.h"
#include "map.h"

EmitFn emit_rnn;
ScratchFn scratch_rnn;

typedef struct Cell {
    Emit *e;
    const Node *n;
    Rnn r;
    int d;                      /* direction */
    DType dt;
    const char *type;           /* C type */
    long long h;                /* hidden */
} Cell;

int64_t scratch_rnn(const Node *n)
{
    int64_t per = dtype_bytes(n->in[0]->type.dt);
    Rnn r;

    if (!rnn_read(n, &r))
        return 0;
    return (r.gates + (r.gates == 1 ? 1 : 2)) * r.hidden * per;
}

static const char *literal(const Cell *c, float x)
{
    return emit_literal(c->e, c->dt, (double)x);
}

/* activation number i of the direction; x is a name */
static const char *activation(const Cell *c, int i, const char *x)
{
    static const char *const rows[RA_COUNT] = {
        [RA_Relu] = "Relu", [RA_Tanh] = "Tanh", [RA_Sigmoid] = "Sigmoid",
        [RA_LeakyRelu] = "LeakyRelu", [RA_Elu] = "Elu",
        [RA_ThresholdedRelu] = "ThresholdedRelu",
        [RA_HardSigmoid] = "HardSigmoid", [RA_Softsign] = "Softsign",
        [RA_Softplus] = "Softplus",
    };
    const RnnAct *a = &c->r.act[c->d][i];

    if (a->kind == RA_Affine)
        return arena_printf(c->e->arena, "(%s * %s + %s)",
                            literal(c, a->alpha), x, literal(c, a->beta));
    if (a->kind == RA_ScaledTanh)
        return arena_printf(c->e->arena, "(%s * %s(%s * %s))",
                            literal(c, a->alpha),
                            emit_kernel(c->e, "tanh_T", c->dt, DT_NONE),
                            literal(c, a->beta), x);
    return map_expr(c->e, rows[a->kind], a->alpha, a->beta, c->dt, x);
}

/* `const T NAME = activation(clip(sum));` */
static void gate(const Cell *c, const char *name, const char *sum, int act)
{
    const char *in = arena_printf(c->e->arena, "%s_in", name);

    e_line(c->e, "const %s %s%s = %s;", c->type, in,
           c->r.clip > 0 ? "_raw" : "", sum);
    if (c->r.clip > 0)
        e_line(c->e, "const %s %s = %s_raw < -%s ? -%s : %s_raw > %s ? %s : "
               "%s_raw;", c->type, in, in, literal(c, c->r.clip),
               literal(c, c->r.clip), in, literal(c, c->r.clip),
               literal(c, c->r.clip), in);
    e_line(c->e, "const %s %s = %s;", c->type, name, activation(c, act, in));
}

/* "g[12 + j]", plus the peephole term of part `peep` (-1: none) on `state` */
static const char *gate_sum(const Cell *c, int part, int peep,
                            const char *state)
{
    const char *g = arena_printf(c->e->arena, "g[%lld + j]", part * c->h);

    if (peep < 0 || !node_in(c->n, RNN_P))
        return g;
    return arena_printf(c->e->arena, "%s + x%d[%lld + j] * %s", g, RNN_P,
                        (c->d * 3 + peep) * c->h, state);
}

static void open_hidden(const Cell *c)
{
    e_open(c->e, "for (%s j = 0; j < %lld; j++)", index_type(8 * c->h), c->h);
}

/* columns [from, from + n) of the transposed weights of this direction */
static const char *packed(const Cell *c, const Value *w, int64_t rows,
                          int64_t from, int64_t n)
{
    int64_t size = dtype_bytes(c->dt);
    char *p = arena_array(c->e->arena, (size_t)(rows * n), (size_t)size);
    const char *from_w = (const char *)w->data +
                         (c->d * c->r.gates * c->r.hidden + from) * rows *
                         size;

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++)
            memcpy(p + (i * n + j) * size, from_w + (j * rows + i) * size,
                   (size_t)size);
    return emit_const(c->e, arena_printf(c->e->arena, "%s_t", w->name),
                      c->dt, rows * n, p);
}

/* `to` += rows [from, from + n) of operand `in` times vector `x` */
static void product(const Cell *c, const char *to, int in, const char *x,
                    int64_t from, int64_t n)
{
    int64_t rows = in == RNN_W ? c->r.input : c->r.hidden;
    const Value *w = c->n->in[in];
    const char *ptr;

    if (value_is_const(w))
        ptr = packed(c, w, rows, from, n);
    else
        ptr = arena_printf(c->e->arena, "x%d + %lld", in,
                           (long long)((c->d * c->r.gates * c->r.hidden +
                                        from) * rows));
    emit_call(c->e, value_is_const(w) ? "gates_T" : "gates_rows_T", c->dt,
              DT_NONE, "%s, %s, %s, %lldu, %lldu", to, ptr, x,
              (long long)rows, (long long)n);
}

/* Sum of the first biases; gates from `own` on have only W's. */
static void const_bias(const Cell *c, const Value *b, int64_t own,
                       int64_t from, int64_t n, bool w, const char *to)
{
    int64_t gh = c->r.gates * c->r.hidden;
    char *sum = arena_array(c->e->arena, (size_t)n, 8);
    bool zero = true;

    for (int64_t j = from; j < from + n; j++) {
        int64_t at = c->d * 2 * gh + j;
        double v = w ? elem_get(c->dt, b->data, at) : 0;
        if (!w || j < own)
            v += elem_get(c->dt, b->data, at + gh);
        zero = zero && v == 0;
        elem_set(c->dt, sum, j - from, v);
    }
    if (zero)
        e_line(c->e, "memset(%s, 0, %lldu * sizeof *%s);", to, (long long)n,
               to);
    else
        e_line(c->e, "memcpy(%s, %s, %lldu * sizeof *%s);", to,
               emit_const(c->e, "bias", c->dt, n, sum), (long long)n, to);
}

/* g = biases; gates from `own` on have only W's bias (the recurrent one is
 * added elsewhere) */
static void start_gates(const Cell *c, int64_t own)
{
    const Value *b = node_in(c->n, RNN_B);
    long long gh = (long long)(c->r.gates * c->r.hidden);

    if (!b) {
        e_line(c->e, "memset(g, 0, %lldu * sizeof *g);", gh);
    } else if (value_is_const(b)) {
        const_bias(c, b, own, 0, gh, true, "g");
    } else {
        e_open(c->e, "for (%s j = 0; j < %lld; j++)", index_type(2 * gh), gh);
        if (own < gh)
            e_line(c->e, "g[j] = x3[%lld + j] + (j < %lld ? x3[%lld + j] : "
                   "%s);", c->d * 2 * gh, (long long)own,
                   (c->d * 2 + 1) * gh, literal(c, 0));
        else
            e_line(c->e, "g[j] = x3[%lld + j] + x3[%lld + j];",
                   c->d * 2 * gh, (c->d * 2 + 1) * gh);
        e_close(c->e);
    }
}

static void rnn_cell(const Cell *c)
{
    start_gates(c, c->h);
    product(c, "g", RNN_W, "x", 0, c->h);
    product(c, "g", RNN_R, "h", 0, c->h);
    open_hidden(c);
    gate(c, "u", "g[j]", 0);
    e_line(c->e, "h[j] = u;");
    e_close(c->e);
}

static void lstm_cell(const Cell *c)
{
    start_gates(c, 4 * c->h);
    product(c, "g", RNN_W, "x", 0, 4 * c->h);
    product(c, "g", RNN_R, "h", 0, 4 * c->h);
    open_hidden(c);
    gate(c, "in", gate_sum(c, 0, 0, "c[j]"), 0);
    if (ATTRS(rnn, c->n)->input_forget)
        e_line(c->e, "const %s forget = %s - in;", c->type, literal(c, 1));
    else
        gate(c, "forget", gate_sum(c, 2, 2, "c[j]"), 0);
    gate(c, "cand", gate_sum(c, 3, -1, ""), 1);
    e_line(c->e, "const %s cell = forget * c[j] + in * cand;", c->type);
    gate(c, "out", gate_sum(c, 1, 1, "cell"), 0);
    e_line(c->e, "c[j] = cell;");
    e_line(c->e, "h[j] = out * %s;", activation(c, 2, "cell"));
    e_close(c->e);
}

/* t = bias of the candidate's recurrent part */
static void start_candidate(const Cell *c)
{
    const Value *b = node_in(c->n, RNN_B);

    if (!b)
        e_line(c->e, "memset(t, 0, %lldu * sizeof *t);", c->h);
    else if (value_is_const(b))
        const_bias(c, b, 0, 2 * c->h, c->h, false, "t");
    else
        e_line(c->e, "memcpy(t, x3 + %lld, %lldu * sizeof *t);",
               (c->d * 6 + 5) * c->h, c->h);
}

static void gru_blend(const Cell *c, const char *z)
{
    e_line(c->e, "h[j] = (%s - %s) * cand + %s * h[j];", literal(c, 1), z, z);
}

/* linear_before_reset: the reset gate scales the recurrent product */
static void gru_linear(const Cell *c)
{
    start_candidate(c);
    product(c, "t", RNN_R, "h", 2 * c->h, c->h);
    open_hidden(c);
    gate(c, "z", "g[j]", 0);
    gate(c, "reset", gate_sum(c, 1, -1, ""), 0);
    gate(c, "cand", arena_printf(c->e->arena, "%s + reset * t[j]",
                                 gate_sum(c, 2, -1, "")), 1);
    gru_blend(c, "z");
    e_close(c->e);
}

static void gru_cell(const Cell *c)
{
    bool linear = ATTRS(rnn, c->n)->linear_before_reset != 0;

    start_gates(c, linear ? 2 * c->h : 3 * c->h);
    product(c, "g", RNN_W, "x", 0, 3 * c->h);
    product(c, "g", RNN_R, "h", 0, 2 * c->h);
    if (linear) {
        gru_linear(c);
        return;
    }
    open_hidden(c);
    gate(c, "z", "g[j]", 0);
    gate(c, "reset", gate_sum(c, 1, -1, ""), 0);
    e_line(c->e, "g[j] = z;");
    e_line(c->e, "t[j] = reset * h[j];");
    e_close(c->e);
    product(c, arena_printf(c->e->arena, "(g + %lld)", 2 * c->h), RNN_R, "t",
            2 * c->h, c->h);
    open_hidden(c);
    gate(c, "cand", gate_sum(c, 2, -1, ""), 1);
    gru_blend(c, "g[j]");
    e_close(c->e);
}

static void load_state(const Cell *c, const char *name, int in)
{
    if (node_in(c->n, in))
        e_line(c->e, "memcpy(%s, x%d + %lld + b * %lld, %lldu * sizeof *%s);",
               name, in, (long long)(c->d * c->r.h_d), (long long)c->r.h_b,
               c->h, name);
    else
        e_line(c->e, "memset(%s, 0, %lldu * sizeof *%s);", name, c->h, name);
}

static void store_state(const Cell *c, const char *name, int out)
{
    if (node_out(c->n, out))
        e_line(c->e, "memcpy(y%d + %lld + b * %lld, %s, %lldu * sizeof *%s);",
               out, (long long)(c->d * c->r.h_d), (long long)c->r.h_b, name,
               c->h, name);
}

/* y of step `at` */
static const char *y_row(const Cell *c)
{
    return arena_printf(c->e->arena, "y0 + at * %lld + %lld + b * %lld",
                        (long long)c->r.y_t, (long long)(c->d * c->r.y_d),
                        (long long)c->r.y_b);
}

/* a run-time length: within the sequence; of length 0: no state, no steps */
static void open_length(const Cell *c)
{
    e_line(c->e, "const int32_t len = x4[b] < 0 ? 0 : x4[b] > %lld ? %lld : "
           "x4[b];", (long long)c->r.seq, (long long)c->r.seq);
    e_open(c->e, "if (len == 0)");
    e_line(c->e, "memset(h, 0, %lldu * sizeof *h);", c->h);
    if (c->r.gates == 4)
        e_line(c->e, "memset(c, 0, %lldu * sizeof *c);", c->h);
    e_close(c->e);
}

static void emit_steps(const Cell *c, const char *len, const char *index)
{
    e_open(c->e, "for (%s i = 0; i < %s; i++)", index, len);
    if (c->r.reverse[c->d])
        e_line(c->e, "const %s at = %s - 1 - i;", index, len);
    else
        e_line(c->e, "const %s at = i;", index);
    e_line(c->e, "const %s *const x = x0 + at * %lld + b * %lld;", c->type,
           (long long)c->r.x_t, (long long)c->r.x_b);
    if (c->r.gates == 4)
        lstm_cell(c);
    else if (c->r.gates == 3)
        gru_cell(c);
    else
        rnn_cell(c);
    if (node_out(c->n, 0))
        e_line(c->e, "memcpy(%s, h, %lldu * sizeof *h);", y_row(c), c->h);
    e_close(c->e);
}

static void emit_direction(const Cell *c, const char *index)
{
    bool lens = node_in(c->n, RNN_LENS) != NULL;
    const char *len = lens ? "len" : arena_printf(c->e->arena, "%lld",
                                                  (long long)c->r.seq);

    e_open(c->e, "for (%s b = 0; b < %lld; b++)", index,
           (long long)c->r.batch);
    load_state(c, "h", RNN_H0);
    if (c->r.gates == 4)
        load_state(c, "c", RNN_C0);
    if (lens)
        open_length(c);
    emit_steps(c, len, index);
    if (lens && node_out(c->n, 0)) {
        e_open(c->e, "for (%s at = len; at < %lld; at++)", index,
               (long long)c->r.seq);
        e_line(c->e, "memset(%s, 0, %lldu * sizeof *y0);", y_row(c), c->h);
        e_close(c->e);
    }
    store_state(c, "h", 1);
    if (c->r.gates == 4)
        store_state(c, "c", 2);
    e_close(c->e);
}

void emit_rnn(Emit *e, const Node *n)
{
    Cell c = { .e = e, .n = n, .dt = n->in[0]->type.dt };
    const char *index;
    int64_t most;

    if (!rnn_read(n, &c.r) || !c.r.hidden || !c.r.batch)
        return;
    c.type = dtype_ctype(c.dt);
    c.h = (long long)c.r.hidden;
    most = type_elems(&n->in[0]->type) +
           c.r.seq * c.r.dirs * c.r.batch * c.r.hidden;
    index = strcmp(index_type(most), "int") ? index_type(most) : "int32_t";
    e_line(e, "%s *const g = (%s *)(void *)s, *const h = g + %lld;", c.type,
           c.type, c.r.gates * c.h);
    if (c.r.gates > 1)
        e_line(e, "%s *const %s = h + %lld;", c.type,
               c.r.gates == 4 ? "c" : "t", c.h);
    for (c.d = 0; c.d < c.r.dirs; c.d++)
        emit_direction(&c, index);
}
