/* requant.c - factors to multipliers and shifts, see requant.h. */
#include "requant.h"

#include <math.h>

#include "ops/quant.h"

enum { MOST_SHIFT = 30 };

static bool is_code(DType dt, bool wide)
{
    return dt == DT_I8 || dt == DT_U8 ||
           (wide && (dt == DT_I16 || dt == DT_U16));
}

bool q_param(const Node *n, const char *name, DType dt, bool wide,
             double scale, int64_t zero, QParam *q)
{
    if (!is_code(dt, wide))
        return node_error(n, "%s is %s, must be int8%s or uint8", name,
                          dtype_name(dt), wide ? ", int16, uint16" : "");
    *q = (QParam){ dt, scale, zero, dtype_lowest(dt), dtype_highest(dt) };
    if (!(scale > 0) || isinf(scale))
        return node_error(n, "%s_scale is %g, must be positive and finite",
                          name, scale);
    if (zero < q->least || zero > q->most)
        return node_error(n, "%s_zp %lld is outside %s (%lld to %lld)", name,
                          (long long)zero, dtype_name(dt),
                          (long long)q->least, (long long)q->most);
    return true;
}

bool q_factor(const Node *n, const char *name, DType dt, double scale,
              int64_t zero, QParam *q)
{
    int64_t middle = dt == DT_U16 ? 32768 : 0;

    if (!q_param(n, name, dt, true, scale, zero, q))
        return false;
    return dtype_bits(dt) == 8 || zero == middle ||
           node_error(n, "%s_zp is %lld, of %s it must be %lld", name,
                      (long long)zero, dtype_name(dt), (long long)middle);
}

bool q_result(const Node *n, int64_t output_dtype, DType x, bool wide,
              double scale, int64_t zero, int64_t lo, int64_t hi, QParam *q)
{
    DType dt = x;

    if (output_dtype < 0 || output_dtype >= DT_MAX)
        return node_error(n, "output_dtype is %lld",
                          (long long)output_dtype);
    if (output_dtype)
        dt = (DType)output_dtype;
    if (!q_param(n, "y", dt, wide, scale, zero, q))
        return false;
    q->least = lo > q->least ? lo : q->least;
    q->most = hi < q->most ? hi : q->most;
    if (q->least > q->most)
        return node_error(n, "lo %lld and hi %lld leave no code of %s",
                          (long long)lo, (long long)hi, dtype_name(dt));
    return true;
}

int64_t q_reach(const QParam *q)
{
    int64_t down = q->zero - q->least, up = q->most - q->zero;

    return down > up ? down : up;
}

int64_t q_largest(const QParam *q)
{
    return -q->least > q->most ? -q->least : q->most;
}

const double *q_scales(const Node *n, int operand, int64_t channels,
                       Arena *arena)
{
    const Value *v = n->in[operand];
    int64_t count = type_elems(&v->type);
    double *s;

    if (!value_is_const(v) || v->type.dt != DT_F32) {
        node_error(n, "scale '%s' is not a float constant", v->name);
        return NULL;
    }
    if (count != 1 && count != channels) {
        node_error(n, "scale '%s' has %lld elements, needs 1 or %lld",
                   v->name, (long long)count, (long long)channels);
        return NULL;
    }
    s = NEW_ARRAY(arena, double, count);
    for (int64_t i = 0; i < count; i++) {
        s[i] = (double)((const float *)v->data)[i];
        if (!(s[i] > 0) || isinf(s[i])) {
            node_error(n, "scale '%s' is %g at index %lld, must be positive "
                       "and finite", v->name, s[i], (long long)i);
            return NULL;
        }
    }
    return s;
}

int requant_factors(const double *factor, int64_t count, int64_t most,
                    int64_t shift, int32_t *mult)
{
    double largest = 0;
    int l = shift < 0 ? 0 : shift > MOST_SHIFT ? MOST_SHIFT + 1 : (int)shift;

    for (int64_t i = 0; i < count; i++)
        largest = factor[i] > largest ? factor[i] : largest;
    while (l <= MOST_SHIFT &&
           !(floor(ldexp(largest, 32 - l) + 0.5) < 2147483648.0))
        l++;
    if (l > MOST_SHIFT || most > INT32_MAX >> l)
        return -1;
    for (int64_t i = 0; i < count; i++)
        mult[i] = (int32_t)floor(ldexp(factor[i], 32 - l) + 0.5);
    return l;
}

bool requant_fit(const Node *n, const double *factor, int64_t count,
                 int64_t most, int64_t shift, const QParam *y, Arena *arena,
                 Requant *r)
{
    int32_t *mult = NEW_ARRAY(arena, int32_t, count);
    double largest = 0;

    *r = (Requant){ 0, count, mult, y->zero, y->least, y->most, factor };
    r->shift = requant_factors(factor, count, most, shift, mult);
    if (r->shift >= 0)
        return true;
    for (int64_t i = 0; i < count; i++)
        largest = factor[i] > largest ? factor[i] : largest;
    if (most > INT32_MAX)
        return node_error(n, "sums of up to %lld do not fit 32 bits",
                          (long long)most);
    return node_error(n, "sums of up to %lld times a factor of %g do not fit "
                      "the fixed-point form", (long long)most, largest);
}

void requant_settle(const QParam *y, Arena *arena, Requant *r)
{
    int32_t *mult = NEW_ARRAY(arena, int32_t, r->n);

    for (int64_t i = 0; i < r->n; i++)
        mult[i] = requant_choose(r->factor[i], r->shift, y);
    r->mult = mult;
}
