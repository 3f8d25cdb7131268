/* rnn.c - RNN, GRU, LSTM (ONNX 22): attributes, shapes. The operators leave
 * some points open; there we do what ONNX Runtime does: activation_alpha and
 * _beta are consumed in order by the activations that take one; a sequence
 * of length 0 leaves zero states. rnn_eval.c computes. */
#include "rnn.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "../hooks.h"

/* which of alpha, beta an activation takes, and what they are by default */
typedef struct ActInfo {
    const char *name;
    bool alpha, beta;
    float def_alpha, def_beta;
} ActInfo;

static const ActInfo acts[RA_COUNT] = {
    [RA_Relu] = { "Relu", false, false, 0, 0 },
    [RA_Tanh] = { "Tanh", false, false, 0, 0 },
    [RA_Sigmoid] = { "Sigmoid", false, false, 0, 0 },
    [RA_Affine] = { "Affine", true, true, 1, 0 },
    [RA_LeakyRelu] = { "LeakyRelu", true, false, 0.01f, 0 },
    [RA_ThresholdedRelu] = { "ThresholdedRelu", true, false, 1, 0 },
    [RA_ScaledTanh] = { "ScaledTanh", true, true, 1, 1 },
    [RA_HardSigmoid] = { "HardSigmoid", true, true, 0.2f, 0.5f },
    [RA_Elu] = { "Elu", true, false, 1, 0 },
    [RA_Softsign] = { "Softsign", false, false, 0, 0 },
    [RA_Softplus] = { "Softplus", false, false, 0, 0 },
};

static bool read_act(const Node *n, const char *name, int *nalpha, int *nbeta,
                     RnnAct *act)
{
    const Attr_rnn *a = ATTRS(rnn, n);

    for (int k = 0; k < RA_COUNT; k++) {
        if (strcasecmp(name, acts[k].name))
            continue;
        act->kind = (RnnActKind)k;
        act->alpha = acts[k].def_alpha;
        act->beta = acts[k].def_beta;
        if (acts[k].alpha && *nalpha < a->activation_alpha.n)
            act->alpha = a->activation_alpha.v[(*nalpha)++];
        if (acts[k].beta && *nbeta < a->activation_beta.n)
            act->beta = a->activation_beta.v[(*nbeta)++];
        return true;
    }
    return node_error(n, "activation '%s' is unknown", name);
}

static bool read_acts(const Node *n, Rnn *r)
{
    static const char *const usual[5][3] = {
        [1] = { "Tanh" },
        [3] = { "Sigmoid", "Tanh" },
        [4] = { "Sigmoid", "Tanh", "Tanh" },
    };
    const Strings *names = &ATTRS(rnn, n)->activations;
    int nalpha = 0, nbeta = 0;

    if (names->n && names->n != r->dirs * r->nact)
        return node_error(n, "has %d activations, needs %d", names->n,
                          r->dirs * r->nact);
    for (int d = 0; d < r->dirs; d++)
        for (int i = 0; i < r->nact; i++) {
            const char *s = names->n ? names->v[d * r->nact + i]
                                     : usual[r->gates][i];
            if (!read_act(n, s, &nalpha, &nbeta, &r->act[d][i]))
                return false;
        }
    return true;
}

static bool read_direction(const Node *n, Rnn *r)
{
    const char *s = ATTRS(rnn, n)->direction;

    r->dirs = 1;
    if (!strcasecmp(s, "bidirectional")) {
        r->dirs = 2;
        r->reverse[1] = true;
    } else if (!strcasecmp(s, "reverse")) {
        r->reverse[0] = true;
    } else if (strcasecmp(s, "forward")) {
        return node_error(n, "direction '%s' is unknown", s);
    }
    return true;
}

/* operand i must have exactly these dims (d2 -1: rank 2; d1 -1: rank 1) */
static bool check_operand(const Node *n, int i, int64_t d0, int64_t d1,
                          int64_t d2)
{
    const Value *v = node_in(n, i);
    int rank = d1 < 0 ? 1 : d2 < 0 ? 2 : 3;
    int64_t want[3] = { d0, d1, d2 };

    if (!v)
        return true;
    if (i != RNN_LENS && v->type.dt != n->in[0]->type.dt)
        return node_error(n, "operand '%s' is %s, input is %s", v->name,
                          dtype_name(v->type.dt),
                          dtype_name(n->in[0]->type.dt));
    if (v->type.rank != rank)
        return node_error(n, "operand '%s' has rank %d, must have %d",
                          v->name, v->type.rank, rank);
    for (int k = 0; k < rank; k++)
        if (v->type.dim[k] != want[k])
            return node_error(n, "operand '%s' has %lld on axis %d, must "
                              "have %lld", v->name,
                              (long long)v->type.dim[k], k,
                              (long long)want[k]);
    return true;
}

static bool check_lens(const Node *n, const Rnn *r)
{
    const Value *v = node_in(n, RNN_LENS);

    if (!v)
        return true;
    if (v->type.dt != DT_I32)
        return node_error(n, "sequence_lens '%s' is %s, must be int32",
                          v->name, dtype_name(v->type.dt));
    if (!value_is_const(v))
        return true;
    for (int64_t b = 0; b < r->batch; b++) {
        int64_t len = elem_get_int(DT_I32, v->data, b);
        if (len < 0 || len > r->seq)
            return node_error(n, "sequence_lens is %lld at %lld, the input "
                              "has %lld steps", (long long)len,
                              (long long)b, (long long)r->seq);
    }
    return true;
}

static void set_offsets(Rnn *r, bool batch_first)
{
    int64_t h = r->hidden;

    r->x_t = batch_first ? r->input : r->batch * r->input;
    r->x_b = batch_first ? r->seq * r->input : r->input;
    r->y_t = batch_first ? r->dirs * h : r->dirs * r->batch * h;
    r->y_d = batch_first ? h : r->batch * h;
    r->y_b = batch_first ? r->seq * r->dirs * h : h;
    r->h_d = batch_first ? h : r->batch * h;
    r->h_b = batch_first ? r->dirs * h : h;
}

static bool check_operands(const Node *n, const Rnn *r)
{
    bool batch_first = ATTRS(rnn, n)->layout == 1;
    int64_t h = r->hidden, gh = r->gates * h;
    int64_t s0 = batch_first ? r->batch : r->dirs;
    int64_t s1 = batch_first ? r->dirs : r->batch;

    return check_operand(n, RNN_W, r->dirs, gh, r->input) &&
           check_operand(n, RNN_R, r->dirs, gh, h) &&
           check_operand(n, RNN_B, r->dirs, 2 * gh, -1) &&
           check_operand(n, RNN_LENS, r->batch, -1, -1) &&
           check_operand(n, RNN_H0, s0, s1, h) &&
           check_operand(n, RNN_C0, s0, s1, h) &&
           check_operand(n, RNN_P, r->dirs, 3 * h, -1) && check_lens(n, r);
}

bool rnn_read(const Node *n, Rnn *r)
{
    const Attr_rnn *a = ATTRS(rnn, n);
    const Type *x = &n->in[RNN_X]->type, *rt = &n->in[RNN_R]->type;

    *r = (Rnn){ .clip = a->clip };
    r->gates = n->op == OP_LSTM ? 4 : n->op == OP_GRU ? 3 : 1;
    r->nact = n->op == OP_LSTM ? 3 : n->op == OP_GRU ? 2 : 1;
    if (!dtype_is_float(x->dt))
        return node_error(n, "takes floats, not %s", dtype_name(x->dt));
    if (x->rank != 3 || rt->rank != 3)
        return node_error(n, "input of rank %d and R of rank %d, must be 3",
                          x->rank, rt->rank);
    if (a->layout != 0 && a->layout != 1)
        return node_error(n, "layout %lld is unknown", (long long)a->layout);
    if (!(a->clip >= 0) || isinf(a->clip))
        return node_error(n, "clip %g must be positive", (double)a->clip);
    r->seq = x->dim[a->layout];
    r->batch = x->dim[1 - a->layout];
    r->input = x->dim[2];
    r->hidden = rt->dim[2];
    if (a->hidden_size && a->hidden_size != r->hidden)
        return node_error(n, "hidden_size is %lld, R has %lld",
                          (long long)a->hidden_size, (long long)r->hidden);
    if (!read_direction(n, r) || !read_acts(n, r) || !check_operands(n, r))
        return false;
    set_offsets(r, a->layout == 1);
    return true;
}

bool infer_rnn(Graph *g, Node *n)
{
    bool batch_first = ATTRS(rnn, n)->layout == 1;
    DType dt = n->in[0]->type.dt;
    Rnn r;

    (void)g;
    if (!rnn_read(n, &r))
        return false;
    if (node_out(n, 0))
        n->out[0]->type = type_make(dt, 4, batch_first
            ? (int64_t[]){ r.batch, r.seq, r.dirs, r.hidden }
            : (int64_t[]){ r.seq, r.dirs, r.batch, r.hidden });
    for (int i = 1; i < n->nout; i++)
        if (n->out[i])
            n->out[i]->type = type_make(dt, 3, batch_first
                ? (int64_t[]){ r.batch, r.dirs, r.hidden }
                : (int64_t[]){ r.dirs, r.batch, r.hidden });
    return true;
}
