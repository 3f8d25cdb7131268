/* expand_train.c - the optimizers of ai.onnx.preview.training, version 1,
 * by the formulas of their definitions. Operands are R (rate), T (step),
 * then groups of n tensors each: X, G and the optimizer's own state. */
#include "build.h"

#include <string.h>

typedef struct Optimizer {
    Value *rate, *step;
    int n;                      /* tensors that are optimized */
    float norm;                 /* norm_coefficient */
} Optimizer;

static bool optimizer_init(Build *b, Draft *d, int groups, Optimizer *o)
{
    int n = (d->nin - 2) / groups;

    if (d->nin < 2 + groups || (d->nin - 2) % groups ||
        d->nout > n * (groups - 1))
        return draft_error(b, d, "%d inputs and %d outputs do not make "
                           "groups of %d", d->nin, d->nout, groups);
    for (int i = 0; i < d->nin; i++)
        if (!d->in[i])
            return draft_error(b, d, "input %d is missing", i);
    for (int i = 2; i < d->nin; i++)
        if (!dtype_is_float(d->in[i]->type.dt) ||
            !type_equal(&d->in[i]->type, &d->in[2 + (i - 2) % n]->type))
            return draft_error(b, d, "input %d does not fit input %d", i,
                               2 + (i - 2) % n);
    if (!dtype_is_float(d->in[0]->type.dt))
        return draft_error(b, d, "rate is not floating point");
    o->rate = d->in[0];
    o->step = b_cast(b, d->in[1], o->rate->type.dt);
    o->n = n;
    o->norm = 0;
    take_float(b, d, "norm_coefficient", &o->norm);
    return true;
}

static Value *scaled(Build *b, Value *x, double c)
{
    return b_op2(b, OP_Mul, x, b_like(b, x, c));
}

/* a * x + b * y */
static Value *blend(Build *b, double ca, Value *x, double cb, Value *y)
{
    return b_op2(b, OP_Add, scaled(b, x, ca), scaled(b, y, cb));
}

/* G + norm_coefficient * X */
static Value *regularized(Build *b, const Optimizer *o, Value *x, Value *g)
{
    if (o->norm == 0)
        return g;
    return b_op2(b, OP_Add, scaled(b, x, (double)o->norm), g);
}

static Value *operand(const Draft *d, const Optimizer *o, int group, int i)
{
    return d->in[2 + group * o->n + i];
}

static void result(Draft *d, const Optimizer *o, int group, int i, Value *v)
{
    if (group * o->n + i < d->nout)
        d->out[group * o->n + i] = v;
}

bool expand_adagrad(Build *b, Draft *d)
{
    float decay = 0, epsilon = 1e-6f;
    Optimizer o;
    Value *one, *r;

    if (!optimizer_init(b, d, 3, &o))
        return false;
    take_float(b, d, "decay_factor", &decay);
    take_float(b, d, "epsilon", &epsilon);
    one = b_like(b, o.rate, 1);
    r = b_op2(b, OP_Div, o.rate,
              b_op2(b, OP_Add, one, scaled(b, o.step, (double)decay)));
    for (int i = 0; i < o.n; i++) {
        Value *x = operand(d, &o, 0, i);
        Value *g = regularized(b, &o, x, operand(d, &o, 1, i));
        Value *h = b_op2(b, OP_Add, operand(d, &o, 2, i),
                         b_op2(b, OP_Mul, g, g));
        Value *root = b_op2(b, OP_Add, b_op1(b, OP_Sqrt, h),
                            b_like(b, h, (double)epsilon));
        Value *step = b_op2(b, OP_Mul, b_cast(b, r, x->type.dt), g);
        result(d, &o, 0, i, b_op2(b, OP_Sub, x,
                                  b_op2(b, OP_Div, step, root)));
        result(d, &o, 1, i, h);
    }
    return true;
}

/* 1 - base^T */
static Value *one_less_power(Build *b, const Optimizer *o, float base)
{
    Value *p = b_op2(b, OP_Pow, b_like(b, o->rate, (double)base), o->step);

    return b_op2(b, OP_Sub, b_like(b, o->rate, 1), p);
}

/* T > 0 ? R * sqrt(1 - beta^T) / (1 - alpha^T) : R */
static Value *adam_rate(Build *b, const Optimizer *o, float alpha, float beta)
{
    Value *zero = b_like(b, o->rate, 0);
    Value *up = b_op1(b, OP_Sqrt, one_less_power(b, o, beta));
    Value *r = b_op2(b, OP_Div, b_op2(b, OP_Mul, o->rate, up),
                     one_less_power(b, o, alpha));

    return b_op3(b, OP_Where, b_op2(b, OP_Greater, o->step, zero), r,
                 o->rate);
}

bool expand_adam(Build *b, Draft *d)
{
    float alpha = 0.9f, beta = 0.999f, epsilon = 1e-6f, post = 0;
    Optimizer o;
    Value *rate;

    if (!optimizer_init(b, d, 4, &o))
        return false;
    take_float(b, d, "alpha", &alpha);
    take_float(b, d, "beta", &beta);
    take_float(b, d, "epsilon", &epsilon);
    take_float(b, d, "norm_coefficient_post", &post);
    rate = adam_rate(b, &o, alpha, beta);
    for (int i = 0; i < o.n; i++) {
        Value *x = operand(d, &o, 0, i);
        Value *g = regularized(b, &o, x, operand(d, &o, 1, i));
        Value *v = blend(b, (double)alpha, operand(d, &o, 2, i),
                         (double)(1 - alpha), g);
        Value *h = blend(b, (double)beta, operand(d, &o, 3, i),
                         (double)(1 - beta), b_op2(b, OP_Mul, g, g));
        Value *root = b_op2(b, OP_Add, b_op1(b, OP_Sqrt, h),
                            b_like(b, h, (double)epsilon));
        Value *step = b_op2(b, OP_Mul, b_cast(b, rate, x->type.dt), v);
        x = b_op2(b, OP_Sub, x, b_op2(b, OP_Div, step, root));
        result(d, &o, 0, i, scaled(b, x, (double)(1 - post)));
        result(d, &o, 1, i, v);
        result(d, &o, 2, i, h);
    }
    return true;
}

/* T > 0 ? beta : 1 */
static Value *first_beta(Build *b, const Optimizer *o, float beta, DType dt)
{
    Value *later = b_op2(b, OP_Greater, o->step, b_like(b, o->step, 0));

    return b_op3(b, OP_Where, later, b_scalar(b, dt, (double)beta),
                 b_scalar(b, dt, 1));
}

bool expand_momentum(Build *b, Draft *d)
{
    float alpha = 0, beta = 0;
    const char *mode = "";
    Optimizer o;

    if (!optimizer_init(b, d, 3, &o))
        return false;
    take_float(b, d, "alpha", &alpha);
    take_float(b, d, "beta", &beta);
    take_string(b, d, "mode", &mode);
    if (strcmp(mode, "standard") && strcmp(mode, "nesterov"))
        return draft_error(b, d, "mode '%s' is not standard or nesterov",
                           mode);
    for (int i = 0; i < o.n; i++) {
        Value *x = operand(d, &o, 0, i);
        Value *g = regularized(b, &o, x, operand(d, &o, 1, i));
        Value *bg = b_op2(b, OP_Mul, first_beta(b, &o, beta, x->type.dt), g);
        Value *v = b_op2(b, OP_Add, scaled(b, operand(d, &o, 2, i),
                                           (double)alpha), bg);
        Value *way = strcmp(mode, "nesterov") ? v :
                     b_op2(b, OP_Add, g, scaled(b, v, (double)alpha));
        Value *rate = b_cast(b, o.rate, x->type.dt);
        result(d, &o, 0, i, b_op2(b, OP_Sub, x, b_op2(b, OP_Mul, rate, way)));
        result(d, &o, 1, i, v);
    }
    return true;
}
