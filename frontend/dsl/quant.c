/* quant.c - @q(scale, zero point) behind a type: what the codes of an integer
 * tensor stand for. Per axis it is @q({s0, s1, ...}, {z0, z1, ...}, axis);
 * one zero point may do for all, and none is 0. */
#include "text.h"

#include <math.h>

static bool check_scales(Text *t, const Body *b, const float *scale, int n)
{
    for (int i = 0; i < n; i++) {
        Span at = b->kind == BODY_DATA
                      ? b->at : ((const Literal *)b->list->v[i])->at;
        if (isnan(scale[i]))
            return text_error(t, at, "a scale that is not a number");
        if (!(scale[i] > 0) || isinf(scale[i]))
            return text_error(t, at, "a scale of %g, must be positive and "
                              "finite", (double)scale[i]);
    }
    return true;
}

static bool check_zero_points(Text *t, const Body *b, DType dt,
                              const int32_t *zp, int n)
{
    int bits = dtype_bits(dt);
    int64_t low = dtype_kind(dt) == DK_INT ? -((int64_t)1 << (bits - 1)) : 0;
    int64_t high = low + ((int64_t)1 << bits) - 1;

    for (int i = 0; i < n; i++) {
        Span at = b->kind == BODY_DATA
                      ? b->at : ((const Literal *)b->list->v[i])->at;
        if (zp[i] < low || zp[i] > high)
            return text_error(t, at, "zero point %d is outside of %s, "
                              "%lld to %lld", (int)zp[i], dtype_name(dt),
                              (long long)low, (long long)high);
        if (bits == 32 && zp[i])
            return text_error(t, at, "zero point %d of %s, must be 0",
                              (int)zp[i], dtype_name(dt));
    }
    return true;
}

/* Scales for an axis: it must be there, and as long. */
static bool find_axis(Text *t, const ModelInfo *type, const QuantText *q,
                      Quant *to)
{
    int64_t axis;

    if (!q->axis) {
        text_error(t, q->scale->at, "%d scales and no axis", to->n);
        text_hint(t, "@q({s0, s1, ...}, {z0, z1, ...}, axis)");
        return false;
    }
    if (!literal_int(t, q->axis, &axis))
        return false;
    if (type->rank < 0)
        return text_error(t, q->at, "an axis of a type of unknown rank");
    if (axis < -type->rank || axis >= type->rank)
        return text_error(t, q->axis->at, "axis %lld of %d dimensions",
                          (long long)axis, type->rank);
    to->axis = (int)(axis < 0 ? axis + type->rank : axis);
    if (type->dim[to->axis].value >= 0 &&
        type->dim[to->axis].value != to->n)
        return text_error(t, q->scale->at, "%d scales for axis %d of length "
                          "%lld", to->n, to->axis,
                          (long long)type->dim[to->axis].value);
    return true;
}

static bool read_zero_points(Text *t, const QuantText *q, DType dt,
                             Quant *to)
{
    int32_t *zp = NEW_ARRAY(t->arena, int32_t, to->n);
    void *given;
    int64_t n;

    to->zero_point = zp;
    if (!q->zero_point)
        return true;
    n = body_elements(t, q->zero_point, DT_I32, &given);
    if (n < 0 || !check_zero_points(t, q->zero_point, dt, given, (int)n))
        return false;
    if (n != to->n && q->zero_point->kind != BODY_RULE)
        return text_error(t, q->zero_point->at, "%lld zero points for %d "
                          "scales", (long long)n, to->n);
    for (int i = 0; i < to->n; i++)
        zp[i] = ((const int32_t *)given)[n == 1 ? 0 : i];
    return true;
}

static bool read_quant(Text *t, const ModelInfo *type, const QuantText *q,
                       Quant *to)
{
    void *scale;
    int64_t n;

    if (!dtype_is_int(type->dt) || dtype_bits(type->dt) > 32) {
        text_error(t, q->at, "@q of %s: only integers of up to 32 bits are "
                   "codes", dtype_name(type->dt));
        return false;
    }
    n = body_elements(t, q->scale, DT_F32, &scale);
    if (n < 0 || !check_scales(t, q->scale, scale, (int)n))
        return false;
    to->n = (int)n;
    to->scale = scale;
    if ((n > 1 || q->axis) && !find_axis(t, type, q, to))
        return false;
    if (n == 1)
        to->axis = 0;
    return read_zero_points(t, q, type->dt, to);
}

ModelInfo *type_quantize(Text *t, ModelInfo *type, const QuantText *q)
{
    Quant *to;

    if (!q || type->problem)
        return type;
    to = NEW(t->arena, Quant);
    if (read_quant(t, type, q, to))
        type->quant = to;
    return type;
}
