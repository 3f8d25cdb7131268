/* expand_basic.c - ops of ONNX that are other ops: sums of many operands,
 * Dropout, casts to another value's type, normalization in training. */
#include "build.h"

#include <string.h>

static Value *chain(Build *b, Draft *d, Op op)
{
    Value *v = d->in[0];

    for (int i = 1; i < d->nin; i++) {
        if (!d->in[i]) {
            draft_error(b, d, "input %d is missing", i);
            return v;
        }
        v = b_op2(b, op, v, d->in[i]);
    }
    return v;
}

static bool expand_chain(Build *b, Draft *d, Op op)
{
    int64_t broadcast, axis;

    take_int(b, d, "broadcast", &broadcast);
    take_int(b, d, "axis", &axis);
    if (!draft_arity(b, d, 1, -1, 1))
        return false;
    d->out[0] = chain(b, d, op);
    return true;
}

bool expand_sum(Build *b, Draft *d)
{
    return expand_chain(b, d, OP_Add);
}

bool expand_max(Build *b, Draft *d)
{
    return expand_chain(b, d, OP_Max);
}

bool expand_min(Build *b, Draft *d)
{
    return expand_chain(b, d, OP_Min);
}

bool expand_mean(Build *b, Draft *d)
{
    if (!expand_chain(b, d, OP_Add))
        return false;
    if (d->nin > 1)
        d->out[0] = b_op2(b, OP_Div, d->out[0],
                          b_like(b, d->out[0], d->nin));
    return true;
}

bool expand_castlike(Build *b, Draft *d)
{
    if (!draft_arity(b, d, 2, 2, 1))
        return false;
    drop_attr(d, "saturate");   /* for 8-bit floats, which are refused */
    drop_attr(d, "round_mode");
    d->out[0] = b_cast(b, d->in[0], d->in[1]->type.dt);
    return true;
}

/* Scatter-9 was renamed. */
bool expand_scatter(Build *b, Draft *d)
{
    if (!draft_arity(b, d, 3, 3, 1))
        return false;
    d->out[0] = b_attrs(b, d, OP_ScatterElements, 3, d->in);
    return true;
}

/* Swish(a) * b */
bool expand_swiglu(Build *b, Draft *d)
{
    if (!draft_arity(b, d, 2, 2, 1))
        return false;
    if (!type_equal(&d->in[0]->type, &d->in[1]->type))
        return draft_error(b, d, "operands differ in type or shape");
    d->out[0] = b_op2(b, OP_Mul, b_attrs(b, d, OP_Swish, 1, d->in),
                      d->in[1]);
    return true;
}

/* Upsample: (x, scales), before opset 9 with scales as an attribute, in
 * opset 1 as two of them for images. Coordinates are i / scale. */
static Value *upsample_scales(Build *b, Draft *d)
{
    Floats f = { 0, NULL };
    float hw[4] = { 1, 1, 0, 0 };

    if (take_floats(b, d, "scales", &f))
        return graph_const(b->g, NULL, type_vector(DT_F32, f.n),
                           arena_memdup(b->g->arena, f.v,
                                        (size_t)f.n * sizeof *f.v));
    if (take_float(b, d, "height_scale", &hw[2]) &&
        take_float(b, d, "width_scale", &hw[3]))
        return graph_const(b->g, NULL, type_vector(DT_F32, 4),
                           arena_memdup(b->g->arena, hw, sizeof hw));
    return draft_in(d, 1);
}

bool expand_upsample(Build *b, Draft *d)
{
    const char *mode = "nearest";
    Value *in[3] = { NULL, NULL, NULL };
    Node *n;

    if (!draft_arity(b, d, 1, 2, 1))
        return false;
    in[0] = d->in[0];
    in[2] = upsample_scales(b, d);
    if (!in[2])
        return draft_error(b, d, "has no scales");
    take_string(b, d, "mode", &mode);
    n = b_node(b, OP_Resize, 3, in, 1);
    ATTRS(resize, n)->mode = strcmp(mode, "bilinear") ? mode : "linear";
    ATTRS(resize, n)->coordinate_transformation_mode = "asymmetric";
    ATTRS(resize, n)->nearest_mode = "floor";
    d->out[0] = b_declared(b, d, n);
    return true;
}

/* Dropout: inference keeps everything */

static bool scalar_is_zero(const Value *v)
{
    return value_is_const(v) && type_elems(&v->type) == 1 &&
           elem_get(v->type.dt, v->data, 0) == 0;
}

static Value *filled(Build *b, const Type *t, DType dt, double x)
{
    Value *in[] = { b_ints(b, t->rank, t->dim), b_scalar(b, dt, x) };

    return b_end(b, b_node(b, OP_ConstantOfShape, 2, in, 1));
}

bool expand_dropout(Build *b, Draft *d)
{
    const Value *ratio, *training;
    float rate;
    int64_t unused;

    take_float(b, d, "ratio", &rate);
    take_int(b, d, "seed", &unused);
    take_int(b, d, "is_test", &unused);
    if (!draft_arity(b, d, 1, 3, 2))
        return false;
    ratio = draft_in(d, 1);
    training = draft_in(d, 2);
    if (training && !scalar_is_zero(training) &&
        !(ratio && scalar_is_zero(ratio)))
        return draft_error(b, d, value_is_const(training)
                           ? "training_mode draws random numbers"
                           : "training_mode is not a constant");
    d->out[0] = d->in[0];
    if (d->nout > 1 && d->want[1])
        d->out[1] = filled(b, &d->in[0]->type, d->version < 10
                           ? d->in[0]->type.dt : DT_BOOL, 1);
    return true;
}

/* (x - mean) / sqrt(var + epsilon) * scale + bias over matching shapes */
static Value *affine_normalize(Build *b, Draft *d, float epsilon)
{
    Value *x = d->in[0];
    Value *var = b_op2(b, OP_Add, d->in[4], b_like(b, d->in[4],
                                                   (double)epsilon));
    Value *centred = b_op2(b, OP_Sub, x, d->in[3]);
    Value *y = b_op2(b, OP_Div, centred, b_op1(b, OP_Sqrt, var));

    return b_op2(b, OP_Add, b_op2(b, OP_Mul, y, d->in[1]), d->in[2]);
}

static Value *batchnorm(Build *b, Value **in, float epsilon)
{
    Node *n = b_node(b, OP_BatchNormalization, 5, in, 1);

    ATTRS(batchnorm, n)->epsilon = epsilon;
    return b_end(b, n);
}

/* old * momentum + current * (1 - momentum) */
static Value *running(Build *b, Value *old, Value *current, float momentum)
{
    Value *keep = b_like(b, old, (double)momentum);
    Value *take = b_like(b, old, 1 - (double)momentum);

    keep = b_op2(b, OP_Mul, old, keep);
    return b_op2(b, OP_Add, keep, b_op2(b, OP_Mul, current, take));
}

/* BatchNormalization-15 in training: statistics of this batch. */
static bool batchnorm_training(Build *b, Draft *d, float epsilon,
                               float momentum)
{
    Value *in[5], *x, *mean, *var, *c;
    int64_t axes[MAX_RANK], shape[MAX_RANK];
    int rank = d->in[0]->type.rank, n = 0;

    if (rank < 2)
        return draft_error(b, d, "takes an input of rank 2 at least");
    for (int i = 0; i < rank; i++) {
        shape[i] = i == 1 ? d->in[0]->type.dim[1] : 1;
        if (i != 1)
            axes[n++] = i;
    }
    x = b_cast(b, d->in[0], d->in[3]->type.dt);
    mean = b_reduce(b, OP_ReduceMean, x, n, axes, false);
    c = b_op2(b, OP_Sub, x, b_reshape(b, mean, rank, shape));
    var = b_reduce(b, OP_ReduceMean, b_op2(b, OP_Mul, c, c), n, axes, false);
    memcpy(in, d->in, sizeof in);
    in[3] = mean;
    in[4] = var;
    d->out[0] = batchnorm(b, in, epsilon);
    if (d->nout > 1)
        d->out[1] = running(b, d->in[3], mean, momentum);
    if (d->nout > 2)
        d->out[2] = running(b, d->in[4], var, momentum);
    return true;
}

/* Results of training that inference does not make: their readers fail. */
static void drop_training_results(Draft *d)
{
    while (d->nout > 1)
        d->nout--;
}

bool expand_batchnorm(Build *b, Draft *d)
{
    float epsilon = 1e-5f, momentum = 0.9f;
    int64_t spatial = 1, training = 0, unused;

    take_float(b, d, "epsilon", &epsilon);
    take_float(b, d, "momentum", &momentum);
    take_int(b, d, "training_mode", &training);
    if (d->version < 9)
        take_int(b, d, "spatial", &spatial);
    if (d->version < 7)
        take_int(b, d, "is_test", &unused);
    drop_attr(d, "consumed_inputs");
    if (!draft_arity(b, d, 5, 5, 5))
        return false;
    for (int i = 1; i < 5; i++)
        if (!dtype_is_float(d->in[i]->type.dt))
            return draft_error(b, d, "input %d is not floating point", i);
    if (training)
        return batchnorm_training(b, d, epsilon, momentum);
    drop_training_results(d);
    d->out[0] = spatial ? batchnorm(b, d->in, epsilon)
                        : affine_normalize(b, d, epsilon);
    return true;
}

/* MeanVarianceNormalization-13: (x - E x) / (sqrt(E (x - E x)^2) + 1e-9) */
bool expand_mvn(Build *b, Draft *d)
{
    static int64_t usual[] = { 0, 2, 3 };
    Ints axes = { 3, usual };
    Value *mean, *c, *var, *dev;

    take_ints(b, d, "axes", &axes);
    if (!draft_arity(b, d, 1, 1, 1))
        return false;
    mean = b_reduce(b, OP_ReduceMean, d->in[0], axes.n, axes.v, true);
    c = b_op2(b, OP_Sub, d->in[0], mean);
    var = b_reduce(b, OP_ReduceMean, b_op2(b, OP_Mul, c, c), axes.n, axes.v,
                   true);
    dev = b_op1(b, OP_Sqrt, var);
    d->out[0] = b_op2(b, OP_Div, c, b_op2(b, OP_Add, dev,
                                          b_like(b, dev, 1e-9)));
    return true;
}

/* CenterCropPad-18: crop what is too long, pad what is too short */

static bool crop_pad_targets(Build *b, Draft *d, int64_t *to)
{
    const Type *t = &d->in[0]->type;
    Ints axes = { -1, NULL };
    int64_t size[MAX_RANK];
    int n;

    take_ints(b, d, "axes", &axes);
    if (!value_is_const(d->in[1]) && type_known(&d->declared[0]) &&
        d->declared[0].rank == t->rank) {
        memcpy(to, d->declared[0].dim, (size_t)t->rank * sizeof *to);
        return true;            /* as the model declares it */
    }
    if (!value_ints(d->in[1], MAX_RANK, size, &n))
        return draft_error(b, d, "shape is not a constant");
    if (n != (axes.n < 0 ? t->rank : axes.n))
        return draft_error(b, d, "shape has %d values for %d axes", n,
                           axes.n < 0 ? t->rank : axes.n);
    memcpy(to, t->dim, (size_t)t->rank * sizeof *to);
    for (int i = 0; i < n; i++) {
        int64_t a = axes.n < 0 ? i : axes.v[i];
        a = a < 0 ? a + t->rank : a;
        if (a < 0 || a >= t->rank || size[i] < 0)
            return draft_error(b, d, "axis %lld or size %lld does not fit "
                               "rank %d", (long long)a, (long long)size[i],
                               t->rank);
        to[a] = size[i];
    }
    return true;
}

bool expand_centercroppad(Build *b, Draft *d)
{
    int64_t to[MAX_RANK], pads[2 * MAX_RANK] = { 0 };
    Value *v, *in[2];
    bool pad = false;
    int rank;

    if (!draft_arity(b, d, 2, 2, 1) || !crop_pad_targets(b, d, to))
        return false;
    v = d->in[0];
    rank = v->type.rank;
    for (int i = 0; i < rank; i++) {
        int64_t have = d->in[0]->type.dim[i];
        if (have > to[i])
            v = b_slice(b, v, i, (have - to[i]) / 2,
                        (have - to[i]) / 2 + to[i]);
        if (have >= to[i])
            continue;
        pad = true;
        pads[i] = (to[i] - have) / 2;
        pads[rank + i] = to[i] - have - pads[i];
    }
    in[0] = v;
    in[1] = b_ints(b, 2 * rank, pads);
    d->out[0] = pad ? b_end(b, b_node(b, OP_Pad, 2, in, 1)) : v;
    return true;
}
