/* expand_ms.c - ops of com.microsoft, version 1, that ONNX Runtime's graph
 * optimizer writes: fused activations, products and normalizations. Their
 * definitions are in ONNX Runtime's ContribOperators document. */
#include "qlinear.h"

#include <string.h>

/* Ops that ONNX has too */

static bool renamed(Build *b, Draft *d, Op op, int imin, int imax)
{
    if (!draft_arity(b, d, imin, imax, 1))
        return false;
    d->out[0] = b_declared(b, d, b_attrs_node(b, d, op, d->nin, d->in));
    return !b->failed;
}

bool expand_ms_quantize(Build *b, Draft *d)
{
    return renamed(b, d, OP_QuantizeLinear, 2, 3);
}

bool expand_ms_dequantize(Build *b, Draft *d)
{
    return renamed(b, d, OP_DequantizeLinear, 2, 3);
}

bool expand_ms_pad(Build *b, Draft *d)
{
    return renamed(b, d, OP_Pad, 2, 3);
}

bool expand_ms_range(Build *b, Draft *d)
{
    if (d->nin == 2)
        draft_set_in(b, d, 2, b_like(b, d->in[0], 1));
    return renamed(b, d, OP_Range, 3, 3);
}

bool expand_ms_trilu(Build *b, Draft *d)
{
    return renamed(b, d, OP_Trilu, 1, 2);
}

bool expand_ms_gathernd(Build *b, Draft *d)
{
    return renamed(b, d, OP_GatherND, 2, 2);
}

bool expand_ms_gridsample(Build *b, Draft *d)
{
    return up_grid_mode(b, d) && renamed(b, d, OP_GridSample, 2, 2);
}

bool expand_ms_expanddims(Build *b, Draft *d)
{
    if (!draft_arity(b, d, 2, 2, 1))
        return false;
    draft_set_in(b, d, 1, b_reshape(b, d->in[1], 1, &(int64_t){ 1 }));
    return renamed(b, d, OP_Unsqueeze, 2, 2);
}

static Value *gelu(Build *b, Value *x, const char *approximate)
{
    Node *n = b_node(b, OP_Gelu, 1, &x, 1);

    ATTRS(gelu, n)->approximate = approximate;
    return b_end(b, n);
}

static Value *with_bias(Build *b, Value *x, Value *bias)
{
    return bias ? b_op2(b, OP_Add, x, bias) : x;
}

bool expand_ms_gelu(Build *b, Draft *d)
{
    if (!draft_arity(b, d, 1, 1, 1))
        return false;
    d->out[0] = gelu(b, d->in[0], "none");
    return true;
}

bool expand_ms_biasgelu(Build *b, Draft *d)
{
    if (!draft_arity(b, d, 2, 2, 1))
        return false;
    d->out[0] = gelu(b, with_bias(b, d->in[0], d->in[1]), "none");
    return true;
}

bool expand_ms_fastgelu(Build *b, Draft *d)
{
    if (!draft_arity(b, d, 1, 2, 1))
        return false;
    d->out[0] = gelu(b, with_bias(b, d->in[0], draft_in(d, 1)), "tanh");
    return true;
}

/* x * sigmoid(alpha * x) */
bool expand_ms_quickgelu(Build *b, Draft *d)
{
    float alpha = 1.702f;
    Node *n;

    take_float(b, d, "alpha", &alpha);
    if (!draft_arity(b, d, 1, 1, 1))
        return false;
    n = b_node(b, OP_Swish, 1, d->in, 1);
    ATTRS(alpha1, n)->alpha = alpha;
    d->out[0] = b_end(b, n);
    return true;
}

bool expand_ms_biasadd(Build *b, Draft *d)
{
    if (!draft_arity(b, d, 3, 3, 1))
        return false;
    d->out[0] = b_op2(b, OP_Add, b_op2(b, OP_Add, d->in[0], d->in[1]),
                      d->in[2]);
    return true;
}

/* left half * gelu(right half) of x + bias */
bool expand_ms_biassplitgelu(Build *b, Draft *d)
{
    Value *x;
    int64_t half;
    int last;

    if (!draft_arity(b, d, 2, 2, 1))
        return false;
    x = b_op2(b, OP_Add, d->in[0], d->in[1]);
    last = x->type.rank - 1;
    if (last < 0 || x->type.dim[last] % 2)
        return draft_error(b, d, "the last dimension is not even");
    half = x->type.dim[last] / 2;
    d->out[0] = b_slice(b, x, last, 0, half);
    x = gelu(b, b_slice(b, x, last, half, 2 * half), "none");
    d->out[0] = b_op2(b, OP_Mul, d->out[0], x);
    return true;
}

/* Fused activations: by name, with up to two parameters */

typedef struct Act {
    const char *name;           /* NULL: none */
    float p[2];
    bool given[2];
} Act;

static Value *leaky(Build *b, Value *x, const Act *a)
{
    Node *n = b_node(b, OP_LeakyRelu, 1, &x, 1);

    if (a->given[0])
        ATTRS(alpha001, n)->alpha = a->p[0];
    return b_end(b, n);
}

static Value *act_apply(Build *b, Draft *d, Value *x, const Act *a)
{
    Node *n;

    if (!a->name || !*a->name)
        return x;
    if (!strcmp(a->name, "Relu"))
        return b_op1(b, OP_Relu, x);
    if (!strcmp(a->name, "Sigmoid"))
        return b_op1(b, OP_Sigmoid, x);
    if (!strcmp(a->name, "Tanh"))
        return b_op1(b, OP_Tanh, x);
    if (!strcmp(a->name, "LeakyRelu"))
        return leaky(b, x, a);
    if (!strcmp(a->name, "Clip") && a->given[0] && a->given[1]) {
        Value *low = b_like(b, x, (double)a->p[0]);
        return b_op3(b, OP_Clip, x, low, b_like(b, x, (double)a->p[1]));
    }
    if (!strcmp(a->name, "HardSigmoid")) {
        n = b_node(b, OP_HardSigmoid, 1, &x, 1);
        ATTRS(hardsigmoid, n)->alpha = a->given[0] ? a->p[0] : 0.2f;
        ATTRS(hardsigmoid, n)->beta = a->given[1] ? a->p[1] : 0.5f;
        return b_end(b, n);
    }
    draft_error(b, d, "activation '%s' is not supported", a->name);
    return x;
}

static void act_named(Build *b, Draft *d, Act *a)
{
    float gamma;

    *a = (Act){ NULL, { 0, 0 }, { false, false } };
    take_string(b, d, "activation", &a->name);
    a->given[0] = take_float(b, d, "activation_alpha", &a->p[0]);
    a->given[1] = take_float(b, d, "activation_beta", &a->p[1]);
    take_float(b, d, "activation_gamma", &gamma);
}

/* act(Conv(x, w, bias) + z) */
bool expand_ms_fusedconv(Build *b, Draft *d)
{
    Act act = { NULL, { 0, 0 }, { false, false } };
    Floats p = { 0, NULL };
    Value *z, *y;

    if (!draft_arity(b, d, 2, 4, 1))
        return false;
    take_string(b, d, "activation", &act.name);
    take_floats(b, d, "activation_params", &p);
    for (int i = 0; i < 2 && i < p.n; i++) {
        act.p[i] = p.v[i];
        act.given[i] = true;
    }
    z = draft_in(d, 3);
    y = b_attrs(b, d, OP_Conv, d->nin < 3 ? d->nin : 3, d->in);
    d->out[0] = act_apply(b, d, with_bias(b, y, z), &act);
    return true;
}

bool expand_ms_fusedgemm(Build *b, Draft *d)
{
    Act act;

    act_named(b, d, &act);
    if (!draft_arity(b, d, 2, 3, 1))
        return false;
    d->out[0] = act_apply(b, d, b_attrs(b, d, OP_Gemm, d->nin, d->in), &act);
    return true;
}

/* [rows, batches..., columns] -> [batches..., rows, columns] */
static Value *batches_first(Build *b, Value *x)
{
    int64_t perm[MAX_RANK];
    int r = x->type.rank;

    for (int i = 0; i < r; i++)
        perm[i] = i < r - 2 ? i + 1 : i == r - 2 ? 0 : i;
    return r < 3 ? x : b_transpose(b, x, perm);
}

/* alpha * op(A) op(B); our op of that name takes the rest */
bool expand_ms_fusedmatmul(Build *b, Draft *d)
{
    int64_t batch[2] = { 0, 0 }, axis;
    Act act;

    act_named(b, d, &act);
    take_int(b, d, "activation_axis", &axis);
    take_int(b, d, "transBatchA", &batch[0]);
    take_int(b, d, "transBatchB", &batch[1]);
    if (!draft_arity(b, d, 2, 2, 1))
        return false;
    for (int i = 0; i < 2; i++)
        if (batch[i])
            d->in[i] = batches_first(b, d->in[i]);
    d->out[0] = act_apply(b, d, b_attrs(b, d, OP_FusedMatMul, 2, d->in),
                          &act);
    return true;
}

static bool layernorm(Build *b, Draft *d, Value *x, Value *gamma, Value *beta,
                      float epsilon)
{
    Value *in[] = { x, gamma, beta }, *out[3];
    Node *n = b_node(b, OP_LayerNormalization, beta ? 3 : 2, in, 3);

    ATTRS(layernorm, n)->epsilon = epsilon;
    for (int i = 1; i < 3; i++)
        if (i >= d->nout || !d->want[i])
            node_set_output(n, i, NULL);
    b_end_all(b, n, out);
    for (int i = 0; i < 3 && i < d->nout; i++)
        d->out[i] = out[i];
    return true;
}

/* The sum of the operands that are there: input, skip, bias. */
static Value *skip_sum(Build *b, Draft *d, int bias)
{
    Value *sum = b_op2(b, OP_Add, d->in[0], d->in[1]);

    sum = with_bias(b, sum, draft_in(d, bias));
    if (d->nout > 3)
        d->out[3] = sum;
    return sum;
}

bool expand_ms_skiplayernorm(Build *b, Draft *d)
{
    float epsilon = 1e-12f;
    Value *sum;

    take_float(b, d, "epsilon", &epsilon);
    if (!draft_arity(b, d, 3, 5, 4))
        return false;
    sum = skip_sum(b, d, 4);
    return layernorm(b, d, sum, d->in[2], draft_in(d, 3), epsilon);
}

static Value *rmsnorm(Build *b, Value *x, Value *gamma, int64_t axis,
                      float epsilon)
{
    Value *in[] = { x, gamma };
    Node *n = b_node(b, OP_RMSNormalization, 2, in, 1);

    ATTRS(layernorm, n)->axis = axis;
    ATTRS(layernorm, n)->epsilon = epsilon;
    return b_end(b, n);
}

static bool no_statistics(Build *b, Draft *d, int last)
{
    for (int i = 1; i <= last && i < d->nout; i++)
        if (d->want[i])
            return draft_error(b, d, "output %d is not supported", i);
    return true;
}

bool expand_ms_skiprms(Build *b, Draft *d)
{
    float epsilon = 1e-12f;

    take_float(b, d, "epsilon", &epsilon);
    if (!draft_arity(b, d, 3, 4, 4) || !no_statistics(b, d, 2))
        return false;
    d->out[0] = rmsnorm(b, skip_sum(b, d, 3), d->in[2], -1, epsilon);
    return true;
}

bool expand_simplifiedlayernorm(Build *b, Draft *d)
{
    float epsilon = 1e-5f;
    int64_t axis = -1, stash = 1;

    take_float(b, d, "epsilon", &epsilon);
    take_int(b, d, "axis", &axis);
    take_int(b, d, "stash_type", &stash);
    if (!draft_arity(b, d, 2, 2, 2) || !no_statistics(b, d, 1))
        return false;
    if (stash != DT_F32)
        return draft_error(b, d, "stash_type %lld is not float (1)",
                           (long long)stash);
    d->out[0] = rmsnorm(b, d->in[0], d->in[1], axis, epsilon);
    return true;
}

static Value *normalized(Build *b, Value *x, Value *gamma, Value *beta,
                         float epsilon)
{
    Value *in[] = { x, gamma, beta };
    Node *n = b_node(b, OP_LayerNormalization, 3, in, 1);

    ATTRS(layernorm, n)->epsilon = epsilon;
    return b_end(b, n);
}

/* EmbedLayerNormalization: word + position + segment, then normalized */

static Value *position_rows(Build *b, Draft *d, Value *table, Value *ids)
{
    const Type *t = &d->in[0]->type;

    if (ids)
        return b_op2(b, OP_Gather, table, ids);
    if (t->rank != 2 || table->type.rank != 2 ||
        t->dim[1] > table->type.dim[0]) {
        draft_error(b, d, "more tokens than positions");
        return table;
    }
    return b_slice(b, table, 0, 0, t->dim[1]);
}

/* mask_index is 0 for each batch when there is no mask. */
static bool mask_index(Build *b, Draft *d)
{
    const Type *t = &d->in[0]->type;
    Value *zero = b_scalar(b, DT_I32, 0);

    if (d->nout < 2 || !d->want[1])
        return true;
    if (draft_in(d, 7) || t->rank < 1)
        return draft_error(b, d, "mask_index of a mask is not supported");
    d->out[1] = b_op2(b, OP_Expand, zero, b_int(b, t->dim[0]));
    return true;
}

bool expand_ms_embedlayernorm(Build *b, Draft *d)
{
    float epsilon = 1e-12f;
    int64_t type;
    Value *sum;

    take_float(b, d, "epsilon", &epsilon);
    take_int(b, d, "mask_index_type", &type);
    if (d->nin < 7 || d->nin > 9 || d->nout > 3)
        return draft_error(b, d, "has %d inputs, takes 7 to 9", d->nin);
    for (int i = 0; i < 7; i++)
        if (!d->in[i] && i != 1 && i != 4)
            return draft_error(b, d, "input %d is missing", i);
    if (!mask_index(b, d))
        return false;
    sum = b_op2(b, OP_Add, b_op2(b, OP_Gather, d->in[2], d->in[0]),
                position_rows(b, d, d->in[3], draft_in(d, 8)));
    if (d->in[1] && d->in[4])
        sum = b_op2(b, OP_Add, sum, b_op2(b, OP_Gather, d->in[4], d->in[1]));
    if (d->nout > 2)
        d->out[2] = sum;
    d->out[0] = normalized(b, sum, d->in[5], d->in[6], epsilon);
    return true;
}

/* The same with tables and parameters of codes: (ids, segment ids, tables of
 * words, positions and segments, gamma, beta, mask), then five scales and
 * five zero points. Rows are looked up before they become floats. */

static Value *table_rows(Build *b, Draft *d, int table, Value *rows)
{
    return dequantize(b, rows, as_scalar(b, d->in[table + 6]),
                      as_scalar(b, draft_in(d, table + 11)), 0);
}

bool expand_qembedlayernorm(Build *b, Draft *d)
{
    float epsilon = 1e-12f;
    Value *sum, *rows;
    bool segments;

    take_float(b, d, "epsilon", &epsilon);
    if (d->nin < 13 || d->nin > 18 || d->nout > 2)
        return draft_error(b, d, "has %d inputs, takes 13 to 18", d->nin);
    segments = d->in[1] && d->in[4];
    for (int i = 0; i < 13; i++)
        if (!d->in[i] && i != 1 && i != 4 && i != 7 && (i != 10 || segments))
            return draft_error(b, d, "input %d is missing", i);
    if (!mask_index(b, d))
        return false;
    sum = table_rows(b, d, 2, b_op2(b, OP_Gather, d->in[2], d->in[0]));
    rows = position_rows(b, d, d->in[3], NULL);
    sum = b_op2(b, OP_Add, sum, table_rows(b, d, 3, rows));
    if (segments) {
        rows = b_op2(b, OP_Gather, d->in[4], d->in[1]);
        sum = b_op2(b, OP_Add, sum, table_rows(b, d, 4, rows));
    }
    d->out[0] = normalized(b, sum, table_rows(b, d, 5, d->in[5]),
                           table_rows(b, d, 6, d->in[6]), epsilon);
    return true;
}
