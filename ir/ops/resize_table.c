/* resize_table.c - taps of a Resize axis, after the ONNX reference: points
 * and coefficients in double. */
#include <math.h>

#include "resize.h"

/* Where output j lies on the input axis. */
static double source(const Node *n, const ResizeAxis *a, int64_t j)
{
    double x = (double)j, in = (double)a->in, width = a->scale * in;
    int coords = resize_coords(n);

    if (coords == COORDS_ALIGN_CORNERS)
        return width == 1 ? 0 : x * (in - 1) / (width - 1);
    if (coords == COORDS_ASYMMETRIC)
        return x / a->scale;
    if (coords == COORDS_TF_HALF)
        return (x + 0.5) / a->scale;
    if (coords == COORDS_TF_CROP) {
        double span = (a->roi1 - a->roi0) * (in - 1);
        double at = width == 1 ? span / 2
                               : x * (a->roi1 - a->roi0) * (in - 1) /
                                 (width - 1);
        return at + a->roi0 * (in - 1);
    }
    if (coords == COORDS_PYTORCH && width == 1)
        return -0.5;
    if (coords == COORDS_SYMMETRIC) {
        double offset = in / 2 * (1 - (double)a->out / width);
        return offset + (x + 0.5) / a->scale - 0.5;
    }
    return (x + 0.5) / a->scale - 0.5;
}

int64_t resize_taps(const Node *n, double scale)
{
    double support = resize_mode(n) == MODE_CUBIC ? 2 : 1;

    if (resize_mode(n) == MODE_NEAREST)
        return 1;
    if (!ATTRS(resize, n)->antialias || scale >= 1)
        return 2 * (int64_t)support;
    return 2 - 2 * (int64_t)(floor(-support / scale) + 1);
}

static int64_t pick_nearest(const Node *n, double x)
{
    int mode = resize_nearest(n);
    double low = floor(x), ratio = x - low;
    bool up;

    /* a whole number but for the rounding of its computation */
    if (fabs(x - rint(x)) < 1e-12 * (1 + fabs(x)))
        return (int64_t)rint(x);
    up = mode == NEAREST_CEIL ||
         (mode == NEAREST_PREFER_FLOOR && ratio > 0.5) ||
         (mode == NEAREST_PREFER_CEIL && ratio >= 0.5);
    return (int64_t)low + up;
}

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x <= 1)
        return (a + 2) * x * x * x - (a + 3) * x * x + 1;
    if (x < 2)
        return a * x * x * x - 5 * a * x * x + 8 * a * x - 4 * a;
    return 0;
}

/* Coefficients of taps start, start+1, ... around a point `ratio` (0, 1]
 * right of tap 0. */
static void fill_coefs(const Node *n, double scale, double ratio,
                       int64_t taps, double *coef)
{
    const Attr_resize *at = ATTRS(resize, n);
    bool antialias = at->antialias && scale < 1;
    double squeeze = antialias ? scale : 1, sum = 0;

    for (int64_t k = 0; k < taps; k++) {
        double d = ((double)(k + 1 - taps / 2) - ratio) * squeeze;
        if (resize_mode(n) == MODE_CUBIC)
            coef[k] = cubic(d, (double)at->cubic_coeff_a);
        else
            coef[k] = fmax(0, 1 - fabs(d));
        sum += coef[k];
    }
    for (int64_t k = 0; at->antialias && k < taps; k++)
        coef[k] /= sum;
}

static void drop_outside(int64_t first, int64_t taps, int64_t in,
                         double *coef)
{
    double sum = 0;

    for (int64_t k = 0; k < taps; k++) {
        if (first + k < 0 || first + k >= in)
            coef[k] = 0;
        sum += coef[k];
    }
    for (int64_t k = 0; sum != 0 && k < taps; k++)
        coef[k] /= sum;
}

static int32_t clamp_index(int64_t i, int64_t in)
{
    return (int32_t)(i < 0 ? 0 : i >= in ? in - 1 : i);
}

static void fill_entry(const Node *n, const ResizeAxis *a, int64_t j,
                       ResizeTable *t)
{
    double x = source(n, a, j), low, ratio;
    int32_t *index = t->index + j * t->taps;
    int64_t first;

    if (t->outside)
        t->outside[j] = !(x >= 0 && x <= (double)(a->in - 1));
    /* far outside everything is the edge; keeps the integers small */
    x = fmin(fmax(x, -16.0 - (double)t->taps),
             (double)a->in + 16 + (double)t->taps);
    if (!t->coef) {
        index[0] = clamp_index(pick_nearest(n, x), a->in);
        return;
    }
    low = floor(x);
    ratio = x == low ? 1 : x - low;
    first = (int64_t)low - (x == low) + 1 - t->taps / 2;
    fill_coefs(n, a->scale, ratio, t->taps, t->coef + j * t->taps);
    if (ATTRS(resize, n)->exclude_outside)
        drop_outside(first, t->taps, a->in, t->coef + j * t->taps);
    for (int64_t k = 0; k < t->taps; k++)
        index[k] = clamp_index(first + k, a->in);
}

bool resize_table(const Node *n, const ResizeAxis *a, Arena *arena,
                  ResizeTable *t)
{
    int64_t taps = resize_taps(n, a->scale);

    *t = (ResizeTable){ .taps = taps };
    if (taps > a->in * 4 + 64 || taps * a->out > ((int64_t)1 << 28))
        return node_error(n, "%lld taps for %lld outputs on axis %d are too "
                          "many", (long long)taps, (long long)a->out,
                          a->axis);
    t->index = NEW_ARRAY(arena, int32_t, taps * a->out);
    if (resize_mode(n) != MODE_NEAREST)
        t->coef = NEW_ARRAY(arena, double, taps * a->out);
    if (resize_coords(n) == COORDS_TF_CROP)
        t->outside = NEW_ARRAY(arena, uint8_t, a->out);
    for (int64_t j = 0; j < a->out; j++)
        fill_entry(n, a, j, t);
    return true;
}
