/* cost.c - multiply-accumulates of one run, as the field counts them: only
 * products of operands that are summed (matrix products, convolutions,
 * recurrent layers, attention); elementwise work, norms and pools are 0. */
#include "ir.h"

#include <ctype.h>

/* Sizes come from models: saturate instead of overflowing. */
static int64_t times(int64_t a, int64_t b)
{
    return a && b > INT64_MAX / a ? INT64_MAX : a * b;
}

static int64_t plus(int64_t a, int64_t b)
{
    return b > INT64_MAX - a ? INT64_MAX : a + b;
}

static int64_t elems(const Value *v)
{
    int64_t n = 1;

    for (int i = 0; v && i < v->type.rank; i++)
        n = times(n, v->type.dim[i]);
    return v ? n : 0;
}

/* Elements of a filter bank [out, ...] behind one output. */
static int64_t filter_elems(const Value *w)
{
    return elems(w) / (w->type.dim[0] ? w->type.dim[0] : 1);
}

/* Length of the dot products of op(A) op(B): A's last dim but for trans. */
static int64_t depth(const Value *a, bool trans)
{
    int rank = a->type.rank;

    if (!rank)
        return 1;
    return a->type.dim[trans && rank > 1 ? rank - 2 : rank - 1];
}

static int64_t attention_macs(const Node *n)
{
    const Type *k = &n->in[1]->type;
    const Value *past = node_in(n, 4);
    int64_t keys = k->dim[k->rank == 4 ? 2 : 1];

    if (past)
        keys = plus(keys, past->type.dim[2]);
    return times(keys, plus(elems(n->in[0]), elems(node_out(n, 0))));
}

/* steps x batch x the weights of every gate and direction */
static int64_t rnn_macs(const Node *n)
{
    const Type *x = &n->in[0]->type;

    return times(times(x->dim[0], x->dim[1]),
                 plus(elems(n->in[1]), elems(n->in[2])));
}

/* Every combination of labels is one product; '...' counts as one label per
 * dim of the operand with most of them. */
static int64_t einsum_macs(const Node *n)
{
    int64_t size[256] = { 0 }, rest = 1, macs = 1;
    const char *s = ATTRS(einsum, n)->equation;

    if (n->nin < 2)
        return 0;
    for (int i = 0, d = 0; *s && *s != '-' && i < n->nin; s++) {
        const Type *t = &n->in[i]->type;
        if (isalpha((unsigned char)*s) && d < t->rank) {
            int64_t *at = &size[(unsigned char)*s];
            *at = *at > t->dim[d] ? *at : t->dim[d];
            d++;
        } else if (s[0] == '.' && s[1] == '.' && s[2] == '.') {
            int labels = 0;
            int64_t here = 1;
            for (const char *p = s; *p && *p != ',' && *p != '-'; p++)
                labels += isalpha((unsigned char)*p) != 0;
            for (; d < t->rank - labels; d++)
                here = times(here, t->dim[d]);
            rest = rest > here ? rest : here;
            s += 2;
        } else if (*s == ',') {
            i++;
            d = 0;
        }
    }
    for (int c = 0; c < 256; c++)
        macs = times(macs, size[c] ? size[c] : 1);
    return times(macs, rest);
}

int64_t node_macs(const Node *n)
{
    const Value *y = node_out(n, 0);

    if (!y && n->op != OP_RNN && n->op != OP_GRU && n->op != OP_LSTM)
        return 0;
    switch (n->op) {
    case OP_MatMul: case OP_QLinearMatMul: case OP_MatMulInteger:
        return times(elems(y), depth(n->in[0], false));
    case OP_FusedMatMul:
        return times(elems(y), depth(n->in[0],
                                     ATTRS(fusedmatmul, n)->transA != 0));
    case OP_Gemm:
        return times(elems(y), depth(n->in[0], ATTRS(gemm, n)->transA != 0));
    case OP_Conv: case OP_ConvInteger:
        return times(elems(y), filter_elems(n->in[1]));
    case OP_QMatMul:
        return times(elems(y), depth(n->in[0], false));
    case OP_QConv:
        return times(elems(y), filter_elems(n->in[1]));
    case OP_QLinearConv:
        return times(elems(y), filter_elems(n->in[3]));
    case OP_ConvTranspose:
        return times(elems(n->in[0]), filter_elems(n->in[1]));
    case OP_Einsum: return einsum_macs(n);
    case OP_RNN: case OP_GRU: case OP_LSTM: return rnn_macs(n);
    case OP_Attention: case OP_QAttention: return attention_macs(n);
    default: return 0;
    }
}

int64_t node_reads(const Node *n, int i)
{
    int64_t macs = node_macs(n), own = elems(n->in[i]);
    int64_t made = elems(node_out(n, 0));

    if (op_has(n->op, T_VIEW))
        return 0;
    if (op_has(n->op, T_MOVE))          /* copies no more than it makes */
        return made < own || own < made ? made : own;
    if (macs > own)
        return macs;
    return own > made ? own : made;     /* broadcast operands again */
}
