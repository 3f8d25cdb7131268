/* expand_qlinear.c - quantized ops of com.microsoft as what they mean:
 * dequantize, the float op, quantize. Passes fuse that form again, so there
 * is one integer path for them and for models in QDQ form. */
#include "qlinear.h"

#include <string.h>

Value *as_scalar(Build *b, Value *v)
{
    static const int64_t none[1];

    if (!v || v->type.rank == 0 || type_elems(&v->type) != 1)
        return v;
    return b_reshape(b, v, 0, none);
}

Value *dequantize(Build *b, Value *x, Value *scale, Value *zero,
                  int64_t axis)
{
    Value *in[] = { x, as_scalar(b, scale), as_scalar(b, zero) };
    Node *n = b_node(b, OP_DequantizeLinear, zero ? 3 : 2, in, 1);

    ATTRS(quantize, n)->axis = axis;
    return b_end(b, n);
}

/* dt: of the result when there is no zero point to say it */
static Value *quantize(Build *b, Value *x, Value *scale, Value *zero, DType dt)
{
    Value *in[] = { x, as_scalar(b, scale), as_scalar(b, zero) };
    Node *n = b_node(b, OP_QuantizeLinear, zero ? 3 : 2, in, 1);

    if (!zero)
        ATTRS(quantize, n)->output_dtype = dt;
    return b_end(b, n);
}

/* operands i, i+1, i+2: data, scale, zero point */
static Value *dequantized(Build *b, Draft *d, int i)
{
    return dequantize(b, d->in[i], d->in[i + 1], draft_in(d, i + 2), 1);
}

static Value *requantized(Build *b, Draft *d, Value *y, int scale, DType dt)
{
    return quantize(b, y, d->in[scale], draft_in(d, scale + 1), dt);
}

/* Data and scales must be there, zero points need not. */
static bool check_triples(Build *b, Draft *d, int from, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 2; k++)
            if (!draft_in(d, from + 3 * i + k))
                return draft_error(b, d, "input %d is missing",
                                   from + 3 * i + k);
    return true;
}

static bool check_result_scale(Build *b, Draft *d, int i)
{
    if (!draft_in(d, i))
        return draft_error(b, d, "input %d is missing", i);
    if (d->nin > i + 2)
        return draft_error(b, d, "has %d inputs, takes %d", d->nin, i + 2);
    if (d->nout != 1)
        return draft_error(b, d, "has %d outputs, gives 1", d->nout);
    return true;
}

static bool unary_check(Build *b, Draft *d)
{
    return check_triples(b, d, 0, 1) && check_result_scale(b, d, 3);
}

static bool unary(Build *b, Draft *d, Op op)
{
    Value *x;

    if (!unary_check(b, d))
        return false;
    x = dequantized(b, d, 0);
    d->out[0] = requantized(b, d, b_attrs(b, d, op, 1, &x), 3,
                            d->in[0]->type.dt);
    return true;
}

bool expand_ql_sigmoid(Build *b, Draft *d)
{
    return unary(b, d, OP_Sigmoid);
}

bool expand_ql_leakyrelu(Build *b, Draft *d)
{
    return unary(b, d, OP_LeakyRelu);
}

/* axis as in Softmax-13, or in Softmax-1 when the attribute opset says so */
bool expand_ql_softmax(Build *b, Draft *d)
{
    int64_t opset = 13, axis = -1, dim[2];
    Value *x;
    Node *n;
    int rank;

    take_int(b, d, "opset", &opset);
    take_int(b, d, "axis", &axis);
    if (!unary_check(b, d))
        return false;
    rank = d->in[0]->type.rank;
    if (axis < -rank || axis >= rank)
        return draft_error(b, d, "axis %lld is outside rank %d",
                           (long long)axis, rank);
    axis = axis < 0 ? axis + rank : axis;
    x = dequantized(b, d, 0);
    if (opset < 13) {
        dim[0] = type_span(&x->type, 0, (int)axis);
        dim[1] = type_span(&x->type, (int)axis, rank);
        x = b_reshape(b, x, 2, dim);
        axis = 1;
    }
    n = b_node(b, OP_Softmax, 1, &x, 1);
    ATTRS(axisneg1, n)->axis = axis;
    x = b_reshape(b, b_end(b, n), rank, d->in[0]->type.dim);
    d->out[0] = requantized(b, d, x, 3, d->in[0]->type.dt);
    return true;
}

bool expand_ql_reducemean(Build *b, Draft *d)
{
    Ints axes = { -1, NULL };
    int64_t keep = 1;
    Value *x;

    take_ints(b, d, "axes", &axes);
    take_int(b, d, "keepdims", &keep);
    if (!unary_check(b, d))
        return false;
    x = b_reduce(b, OP_ReduceMean, dequantized(b, d, 0), axes.n, axes.v,
                 keep != 0);
    d->out[0] = requantized(b, d, x, 3, d->in[0]->type.dt);
    return true;
}

/* Pools, also with channels last */

/* NHWC -> NCHW, or back */
static Value *move_channels(Build *b, Value *x, bool last)
{
    int64_t perm[MAX_RANK];
    int r = x->type.rank;

    for (int i = 0; i < r; i++)
        perm[i] = i;
    for (int i = 1; i < r; i++)
        perm[i] = last ? (i == r - 1 ? 1 : i + 1) : (i == 1 ? r - 1 : i - 1);
    return r < 3 ? x : b_transpose(b, x, perm);
}

static bool pool(Build *b, Draft *d, Op op)
{
    int64_t last = 0;
    Value *x;

    take_int(b, d, "channels_last", &last);
    if (!unary_check(b, d))
        return false;
    x = last ? move_channels(b, d->in[0], false) : d->in[0];
    x = dequantize(b, x, d->in[1], draft_in(d, 2), 1);
    x = requantized(b, d, b_attrs(b, d, op, 1, &x), 3, d->in[0]->type.dt);
    d->out[0] = last ? move_channels(b, x, true) : x;
    return true;
}

bool expand_ql_averagepool(Build *b, Draft *d)
{
    return pool(b, d, OP_AveragePool);
}

bool expand_ql_globalaveragepool(Build *b, Draft *d)
{
    return pool(b, d, OP_GlobalAveragePool);
}

/* MaxPool of codes with channels last */
bool expand_nhwcmaxpool(Build *b, Draft *d)
{
    Value *x;

    if (!draft_arity(b, d, 1, 1, 1))
        return false;
    x = move_channels(b, d->in[0], false);
    x = b_attrs(b, d, OP_MaxPool, 1, &x);
    d->out[0] = b->failed ? x : move_channels(b, x, true);
    return !b->failed;
}

bool expand_ql_conv(Build *b, Draft *d)
{
    int64_t last = 0;
    Value *x;

    take_int(b, d, "channels_last", &last);
    if (!draft_arity(b, d, 8, 9, 1))
        return false;
    if (last)
        d->in[0] = move_channels(b, d->in[0], false);
    x = b_attrs(b, d, OP_QLinearConv, d->nin, d->in);
    d->out[0] = last ? move_channels(b, x, true) : x;
    return true;
}

static bool binary(Build *b, Draft *d, Op op)
{
    Value *y;

    if (!check_triples(b, d, 0, 2) || !check_result_scale(b, d, 6))
        return false;
    y = dequantized(b, d, 0);
    y = b_op2(b, op, y, dequantized(b, d, 3));
    d->out[0] = requantized(b, d, y, 6, d->in[0]->type.dt);
    return true;
}

bool expand_ql_add(Build *b, Draft *d)
{
    return binary(b, d, OP_Add);
}

bool expand_ql_mul(Build *b, Draft *d)
{
    return binary(b, d, OP_Mul);
}

bool expand_ql_where(Build *b, Draft *d)
{
    Value *y;

    if (!draft_in(d, 0))
        return draft_error(b, d, "input 0 is missing");
    if (!check_triples(b, d, 1, 2) || !check_result_scale(b, d, 7))
        return false;
    y = dequantized(b, d, 1);
    y = b_op3(b, OP_Where, d->in[0], y, dequantized(b, d, 4));
    d->out[0] = requantized(b, d, y, 7, d->in[1]->type.dt);
    return true;
}

bool expand_ql_concat(Build *b, Draft *d)
{
    int n = (d->nin - 2) / 3;
    Value **v = NEW_ARRAY(b->g->arena, Value *, d->nin + 1), *y;

    if (d->nin < 5 || (d->nin - 2) % 3 || d->nout != 1)
        return draft_error(b, d, "has %d inputs, takes 2 and threes of data, "
                           "scale and zero point", d->nin);
    if (!check_triples(b, d, 2, n) || !draft_in(d, 0))
        return draft_error(b, d, "an input is missing");
    for (int i = 0; i < n; i++)
        v[i] = dequantized(b, d, 2 + 3 * i);
    y = b_attrs(b, d, OP_Concat, n, v);
    d->out[0] = requantized(b, d, y, 0, d->in[2]->type.dt);
    return true;
}

/* QGemm: (A, scale, zero, B, scale, zero, C, scale, zero). C counts in
 * alpha * scale of A * scale of B; without a result scale Y is float. */
static Value *qgemm_bias(Build *b, Draft *d, float alpha)
{
    Value *scale;

    if (!draft_in(d, 6))
        return NULL;
    scale = as_scalar(b, d->in[1]);
    scale = b_op2(b, OP_Mul, scale, as_scalar(b, d->in[4]));
    if (alpha != 1)
        scale = b_op2(b, OP_Mul, scale, b_like(b, scale, (double)alpha));
    return dequantize(b, d->in[6], scale, NULL, d->in[6]->type.rank - 1);
}

bool expand_qgemm(Build *b, Draft *d)
{
    float alpha = 1;
    int64_t trans_a = 0, trans_b = 0;
    Value *in[3], *y;
    Node *n;

    take_float(b, d, "alpha", &alpha);
    take_int(b, d, "transA", &trans_a);
    take_int(b, d, "transB", &trans_b);
    if (!check_triples(b, d, 0, 2) || d->nin > 9 || d->nout != 1)
        return draft_error(b, d, "has %d inputs and %d outputs", d->nin,
                           d->nout);
    in[0] = dequantized(b, d, 0);
    in[1] = dequantize(b, d->in[3], d->in[4], draft_in(d, 5),
                       trans_b ? 0 : 1);
    in[2] = qgemm_bias(b, d, alpha);
    n = b_node(b, OP_Gemm, in[2] ? 3 : 2, in, 1);
    ATTRS(gemm, n)->alpha = alpha;
    ATTRS(gemm, n)->transA = trans_a;
    ATTRS(gemm, n)->transB = trans_b;
    y = b_end(b, n);
    d->out[0] = draft_in(d, 7) ?
                requantized(b, d, y, 7, d->in[0]->type.dt) : y;
    return true;
}

Value *integer_product(Build *b, Value **in, Value *scale, Value *bias)
{
    int n = in[3] ? 4 : in[2] ? 3 : 2;
    Value *y = b_end(b, b_node(b, OP_MatMulInteger, n, in, 1));

    y = b_op2(b, OP_Mul, b_cast(b, y, scale->type.dt), scale);
    return bias ? b_op2(b, OP_Add, y, bias) : y;
}

/* (A, B, scale of A, scale of B, zero of A, zero of B, bias) */
bool expand_matmulintegertofloat(Build *b, Draft *d)
{
    Value *in[4], *scale;

    if (!draft_arity(b, d, 4, 7, 1))
        return false;
    in[0] = d->in[0];
    in[1] = d->in[1];
    in[2] = as_scalar(b, draft_in(d, 4));
    in[3] = as_scalar(b, draft_in(d, 5));
    scale = as_scalar(b, d->in[2]);
    scale = b_op2(b, OP_Mul, scale, as_scalar(b, d->in[3]));
    d->out[0] = integer_product(b, in, scale, draft_in(d, 6));
    return true;
}

/* (A, B, scale of B, zero of B, bias); A is float, quantized on the fly */
bool expand_dynamicquantizematmul(Build *b, Draft *d)
{
    Value *q[3], *in[4];

    if (!draft_arity(b, d, 3, 5, 1))
        return false;
    b_end_all(b, b_node(b, OP_DynamicQuantizeLinear, 1, d->in, 3), q);
    in[0] = q[0];
    in[1] = d->in[1];
    in[2] = q[2];
    in[3] = as_scalar(b, draft_in(d, 3));
    d->out[0] = integer_product(b, in, b_op2(b, OP_Mul, q[1],
                                             as_scalar(b, d->in[2])),
                                draft_in(d, 4));
    return true;
}
