/* rnn_eval.c - RNN, GRU and LSTM in the interpreter, in double, one sequence
 * of one batch entry and direction at a time. */
#include <math.h>
#include <string.h>

#include "../hooks.h"
#include "real.h"
#include "rnn.h"

static double activate(const RnnAct *a, double x)
{
    double alpha = (double)a->alpha, beta = (double)a->beta;

    switch (a->kind) {
    case RA_Relu: return x > 0 ? x : 0;
    case RA_Tanh: return tanh(x);
    case RA_Sigmoid: return 1 / (1 + exp(-x));
    case RA_Affine: return alpha * x + beta;
    case RA_LeakyRelu: return x >= 0 ? x : alpha * x;
    case RA_ThresholdedRelu: return x > alpha ? x : 0;
    case RA_ScaledTanh: return alpha * tanh(beta * x);
    case RA_HardSigmoid: return fmin(1, fmax(0, alpha * x + beta));
    case RA_Elu: return x >= 0 ? x : alpha * (exp(x) - 1);
    case RA_Softsign: return x / (1 + fabs(x));
    case RA_Softplus: return x > 30 ? x : log1p(exp(x));
    case RA_COUNT: break;
    }
    return x;
}

/* One cell: weights of one direction, state, and room for the gates. */
typedef struct Cell {
    const Node *n;
    const Rnn *r;
    const RnnAct *act;
    const double *w, *rec, *wb, *rb, *p;        /* biases, P may be NULL */
    double *gate, *h, *c, *tmp;
} Cell;

/* out[j] += row j of m . v, rows of `cols` */
static void add_product(const double *m, const double *v, int64_t rows,
                        int64_t cols, double *out)
{
    for (int64_t j = 0; j < rows; j++, m += cols) {
        double sum = 0;
        for (int64_t k = 0; k < cols; k++)
            sum += m[k] * v[k];
        out[j] += sum;
    }
}

static void add(double *a, const double *b, int64_t n)
{
    for (int64_t i = 0; b && i < n; i++)
        a[i] += b[i];
}

/* clip, then activation number i */
static void finish(const Cell *c, double *v, int i)
{
    double clip = (double)c->r->clip;

    for (int64_t k = 0; k < c->r->hidden; k++) {
        if (clip > 0)
            v[k] = fmin(clip, fmax(-clip, v[k]));
        v[k] = activate(&c->act[i], v[k]);
    }
}

/* gates = W x + Wb, and + R h + Rb for the first `rec` gates */
static void sums(const Cell *c, const double *x, int rec)
{
    const Rnn *r = c->r;
    int64_t n = r->gates * r->hidden;

    memset(c->gate, 0, (size_t)n * sizeof *c->gate);
    add(c->gate, c->wb, n);
    add(c->gate, c->rb, rec * r->hidden);
    add_product(c->w, x, n, r->input, c->gate);
    add_product(c->rec, c->h, rec * r->hidden, r->hidden, c->gate);
}

static void rnn_cell(const Cell *c, const double *x)
{
    sums(c, x, 1);
    finish(c, c->gate, 0);
    memcpy(c->h, c->gate, (size_t)c->r->hidden * sizeof *c->h);
}

static void gru_cell(const Cell *c, const double *x)
{
    int64_t h = c->r->hidden;
    const double *rec = c->rec + 2 * h * h;
    const double *rb = c->rb ? c->rb + 2 * h : NULL;
    double *z = c->gate, *reset = z + h, *cand = reset + h;
    bool linear = ATTRS(rnn, c->n)->linear_before_reset != 0;

    sums(c, x, 2);
    finish(c, z, 0);
    finish(c, reset, 0);
    memset(c->tmp, 0, 2 * (size_t)h * sizeof *c->tmp);
    if (linear) {
        add(c->tmp, rb, h);
        add_product(rec, c->h, h, h, c->tmp);
        for (int64_t i = 0; i < h; i++)
            cand[i] += reset[i] * c->tmp[i];
    } else {
        for (int64_t i = 0; i < h; i++)
            c->tmp[i] = reset[i] * c->h[i];
        add(cand, rb, h);
        add_product(rec, c->tmp, h, h, cand);
    }
    finish(c, cand, 1);
    for (int64_t i = 0; i < h; i++)
        c->h[i] = (1 - z[i]) * cand[i] + z[i] * c->h[i];
}

/* peephole: g += p * c */
static void peep(const Cell *c, double *g, int part)
{
    int64_t h = c->r->hidden;

    for (int64_t i = 0; c->p && i < h; i++)
        g[i] += c->p[part * h + i] * c->c[i];
}

static void lstm_cell(const Cell *c, const double *x)
{
    int64_t h = c->r->hidden;
    double *in = c->gate, *out = in + h, *forget = out + h, *g = forget + h;

    sums(c, x, 4);
    peep(c, in, 0);
    finish(c, in, 0);
    peep(c, forget, 2);
    finish(c, forget, 0);
    finish(c, g, 1);
    for (int64_t i = 0; i < h; i++) {
        double f = ATTRS(rnn, c->n)->input_forget ? 1 - in[i] : forget[i];
        c->c[i] = f * c->c[i] + in[i] * g[i];
    }
    peep(c, out, 1);
    finish(c, out, 0);
    for (int64_t i = 0; i < h; i++)
        c->h[i] = out[i] * activate(&c->act[2], c->c[i]);
}

typedef struct Run {
    Rnn r;
    double *x, *w, *rec, *b, *h0, *c0, *p;
    double *y, *h, *c;          /* results; y is zeroed */
    const Tensor *lens;
} Run;

static void load_state(const Rnn *r, const double *from, int d, int64_t b,
                       double *to)
{
    size_t bytes = (size_t)r->hidden * sizeof *to;

    if (from)
        memcpy(to, from + d * r->h_d + b * r->h_b, bytes);
    else
        memset(to, 0, bytes);
}

static void run_sequence(Run *run, Cell *c, int d, int64_t b)
{
    const Rnn *r = &run->r;
    size_t bytes = (size_t)r->hidden * sizeof(double);
    int64_t len = r->seq;

    if (run->lens) {
        len = elem_get_int(DT_I32, run->lens->data, b);
        len = len < 0 ? 0 : len > r->seq ? r->seq : len;
        if (len == 0)
            return;
    }
    load_state(r, run->h0, d, b, c->h);
    load_state(r, run->c0, d, b, c->c);
    for (int64_t i = 0; i < len; i++) {
        int64_t t = r->reverse[d] ? len - 1 - i : i;
        const double *x = run->x + t * r->x_t + b * r->x_b;
        if (r->gates == 4)
            lstm_cell(c, x);
        else if (r->gates == 3)
            gru_cell(c, x);
        else
            rnn_cell(c, x);
        memcpy(run->y + t * r->y_t + d * r->y_d + b * r->y_b, c->h, bytes);
    }
    memcpy(run->h + d * r->h_d + b * r->h_b, c->h, bytes);
    memcpy(run->c + d * r->h_d + b * r->h_b, c->c, bytes);
}

static void run_direction(const Node *n, Run *run, int d, Arena *a)
{
    const Rnn *r = &run->r;
    int64_t h = r->hidden, gh = r->gates * h;
    Cell c = { .n = n, .r = r, .act = r->act[d] };

    c.w = run->w + d * gh * r->input;
    c.rec = run->rec + d * gh * h;
    c.wb = run->b ? run->b + d * 2 * gh : NULL;
    c.rb = run->b ? c.wb + gh : NULL;
    c.p = run->p ? run->p + d * 3 * h : NULL;
    c.gate = NEW_ARRAY(a, double, gh);
    c.tmp = NEW_ARRAY(a, double, 2 * h);
    c.h = NEW_ARRAY(a, double, h);
    c.c = NEW_ARRAY(a, double, h);
    for (int64_t b = 0; b < r->batch; b++)
        run_sequence(run, &c, d, b);
}

static bool eval_recurrent(const Node *n, const Tensor *const *in,
                           Tensor *const *out, Arena *a)
{
    int64_t states;
    Run run;

    if (!rnn_read(n, &run.r))
        return false;
    states = run.r.dirs * run.r.batch * run.r.hidden;
    run.x = real_load(in[RNN_X], a);
    run.w = real_load(in[RNN_W], a);
    run.rec = real_load(in[RNN_R], a);
    run.b = real_load(tensor_in(n, in, RNN_B), a);
    run.h0 = real_load(tensor_in(n, in, RNN_H0), a);
    run.c0 = real_load(tensor_in(n, in, RNN_C0), a);
    run.p = real_load(tensor_in(n, in, RNN_P), a);
    run.lens = tensor_in(n, in, RNN_LENS);
    run.y = NEW_ARRAY(a, double, run.r.seq * states);
    run.h = NEW_ARRAY(a, double, states);
    run.c = NEW_ARRAY(a, double, states);
    for (int d = 0; d < run.r.dirs; d++)
        run_direction(n, &run, d, a);
    real_store(tensor_out(n, out, 0), run.y);
    real_store(tensor_out(n, out, 1), run.h);
    real_store(tensor_out(n, out, 2), run.c);
    return true;
}

bool eval_rnn(const Node *n, const Tensor *const *in, Tensor *const *out,
              Arena *scratch, Diag *diag)
{
    (void)diag;
    return eval_recurrent(n, in, out, scratch);
}

bool eval_gru(const Node *n, const Tensor *const *in, Tensor *const *out,
              Arena *scratch, Diag *diag)
{
    (void)diag;
    return eval_recurrent(n, in, out, scratch);
}

bool eval_lstm(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    (void)diag;
    return eval_recurrent(n, in, out, scratch);
}
