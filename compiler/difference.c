/* difference.c - how far two tensors are apart, and how far they may be.
 *
 * Integers must be equal. Floats may differ by 1e-4 relative plus 2e-5 of
 * the tensor's largest magnitude: kernels sum in another order than the
 * interpreter. Where floats that were computed pass through QuantizeLinear, a
 * sum that lies within that bound of a rounding boundary moves its result by
 * one step; so there up to 1 % of the elements may differ by one step.
 * Integer ops are exact.
 */
#include "verify.h"

#include <math.h>
#include <string.h>

static uint64_t ulps(DType dt, const void *a, const void *b, int64_t i)
{
    int64_t x, y;

    if (dt == DT_F32) {
        int32_t p, q;
        memcpy(&p, (const float *)a + i, 4);
        memcpy(&q, (const float *)b + i, 4);
        x = p < 0 ? INT32_MIN - (int64_t)p : p;
        y = q < 0 ? INT32_MIN - (int64_t)q : q;
    } else {
        return 0;
    }
    return (uint64_t)(x > y ? x - y : y - x);
}

/* |got - want|, `d` as doubles; 64-bit integers differ where doubles do not */
static double apart(DType dt, const void *got, const void *want, int64_t i,
                    double d)
{
    int64_t x, y;

    if (dt != DT_I64 && dt != DT_U64)
        return d;
    x = elem_get_int(dt, got, i);
    y = elem_get_int(dt, want, i);
    return d == 0 && x != y ? 1 : d;
}

Difference tensor_difference(const Type *t, const void *got,
                             const void *want, const Tolerance *tol)
{
    Difference d = { .worst = -1 };
    int64_t n = type_elems(t);

    for (int64_t i = 0; i < n; i++) {
        double x = elem_get(t->dt, got, i), y = elem_get(t->dt, want, i);
        double e = apart(t->dt, got, want, i, fabs(x - y));
        uint64_t u = ulps(t->dt, got, want, i);
        if ((isnan(x) && isnan(y)) || (x == y && !(e > 0)))
            e = 0, u = 0;
        else if (!(e <= tol->abs + tol->rel * fabs(y)))
            d.beyond++;
        if (isfinite(y) && fabs(y) > d.scale)
            d.scale = fabs(y);
        if (isnan(e) || isinf(e))
            e = INFINITY;
        if (e > d.max_abs || d.worst < 0) {
            d.max_abs = e;
            d.worst = i;
            d.got = x;
            d.want = y;
        }
        if (e > 0 && y != 0 && e / fabs(y) > d.max_rel)
            d.max_rel = e / fabs(y);
        if (u > d.max_ulp)
            d.max_ulp = u;
    }
    return d;
}

bool difference_ok(const Difference *d, const Type *t, const Tolerance *tol)
{
    return (double)d->beyond <= tol->share * (double)type_elems(t);
}

void difference_print(const char *what, const char *name,
                      const Difference *d, bool ok)
{
    printf("  %-6s %-24s max abs %.3g, rel %.3g, ulp %llu", ok ? "ok" :
           "DIFFER", name, d->max_abs, d->max_rel,
           (unsigned long long)d->max_ulp);
    if (!ok)
        printf("; %lld elements beyond the bound, worst [%lld]: %.9g, "
               "expected %.9g", (long long)d->beyond, (long long)d->worst,
               d->got, d->want);
    printf(" (%s)\n", what);
}

/* Not a graph input, perhaps moved about: those are the same floats. */
static bool is_computed(const Value *v)
{
    while (v->def && op_has(v->def->op, T_VIEW | T_MOVE) && v->def->nin)
        v = v->def->in[0];
    return v->def != NULL;
}

static bool is_quantized(const Graph *g)
{
    for EACH_NODE(n, g)
        if ((n->op == OP_QuantizeLinear && is_computed(n->in[0])) ||
            n->op == OP_DynamicQuantizeLinear || n->op == OP_QLinearConv ||
            n->op == OP_QLinearMatMul)
            return true;
    return false;
}

/* The quantization step that v's values are multiples of, looking back
 * through views and movement; 0: none. Probabilities move by at most half
 * of what Softmax's operands do. */
static double step_of(const Value *v)
{
    const Node *n = v->def;
    double best = 0;

    if (n && n->op == OP_Softmax)
        return step_of(n->in[0]) / 2;

    for (int hops = 0; n && hops < 16; hops++) {
        if (n->op == OP_DequantizeLinear && value_is_const(n->in[1])) {
            const Value *s = n->in[1];
            for (int64_t i = 0; i < type_elems(&s->type); i++) {
                double x = elem_get(s->type.dt, s->data, i);
                best = x > best ? x : best;
            }
            return best;
        }
        if (!op_has(n->op, T_VIEW | T_MOVE) || !n->nin || !n->in[0])
            return 0;
        n = n->in[0]->def;
    }
    return 0;
}

static double largest(const Tensor *t)
{
    double m = 0;

    for (int64_t i = 0; i < type_elems(&t->type); i++) {
        double x = fabs(elem_get(t->type.dt, t->data, i));
        if (isfinite(x) && x > m)
            m = x;
    }
    return m;
}

Tolerance tolerance_for(const Graph *g, const Value *v, const Tensor *want)
{
    Tolerance t = { 0, 0, 0 };
    bool quantized = is_quantized(g);
    double step;

    if (!dtype_is_float(v->type.dt)) {
        if (quantized && v->type.dt != DT_BOOL) {
            t.abs = 1;
            t.share = 0.01;
        }
        return t;
    }
    t.rel = 1e-4;
    t.abs = 2e-5 * largest(want);
    if (v->type.dt == DT_F16 || v->type.dt == DT_BF16) {
        t.rel = v->type.dt == DT_F16 ? 2e-3 : 2e-2;
        t.abs = t.rel * largest(want);
    }
    if (quantized) {
        step = step_of(v);
        t.abs += step > 0 ? step : 0.02 * largest(want);
        t.share = 0.01;
    }
    return t;
}

/* Other tools compute quantized models in floats, each with roundings of its
 * own: two steps on 99 % of the elements. */
static bool is_integer(const Graph *g)
{
    for EACH_NODE(n, g)
        if (n->op == OP_QConv || n->op == OP_QMatMul || n->op == OP_QAdd ||
            n->op == OP_QMul || n->op == OP_QAttention ||
            n->op == OP_QAveragePool || n->op == OP_QReduceMean ||
            n->op == OP_QLayerNorm || n->op == OP_QSoftmax)
            return true;
    return false;
}

Tolerance tolerance_for_expected(const Graph *g, const Value *v,
                                 const Tensor *want)
{
    Tolerance t = tolerance_for(g, v, want);
    bool codes = !dtype_is_float(v->type.dt);
    double step;

    if (is_integer(g) && v->type.dt != DT_BOOL) {
        step = codes ? 1 : step_of(v);
        t.abs += step > 0 ? 2 * step : 0.02 * largest(want);
        t.share = 0.01;
    }
    /* their functions are approximations too: ONNX Runtime's sigmoid is 0
     * where ours is 1e-7 */
    if (!codes) {
        t.rel = t.rel > 1e-3 ? t.rel : 1e-3;
        t.abs = t.abs > 1e-5 ? t.abs : 1e-5;
    }
    return t;
}
