/* resize.c - Resize (ONNX 19) as separable tables of taps, after the ONNX
 * reference implementation: coordinates and coefficients in double. */
#include "resize.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "../hooks.h"

const Value *resize_operand(const Node *n, int i)
{
    const Value *v = node_in(n, i);

    return v && type_elems(&v->type) ? v : NULL;
}

static const char *const modes[] = { "nearest", "linear", "cubic", NULL };
static const char *const nearest_modes[] = { "round_prefer_floor",
    "round_prefer_ceil", "floor", "ceil", NULL };
static const char *const coord_modes[] = { "half_pixel", "align_corners",
    "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric",
    "tf_crop_and_resize", "tf_half_pixel_for_nn", NULL };
static const char *const policies[] = { "stretch", "not_larger",
    "not_smaller", NULL };

static int position(const char *s, const char *const *names)
{
    int i = 0;

    while (names[i] && strcmp(s, names[i]))
        i++;
    return i;
}

int resize_mode(const Node *n)
{
    return position(ATTRS(resize, n)->mode, modes);
}

int resize_policy(const Node *n)
{
    return position(ATTRS(resize, n)->keep_aspect_ratio_policy, policies);
}

int resize_coords(const Node *n)
{
    return position(ATTRS(resize, n)->coordinate_transformation_mode,
                    coord_modes);
}

int resize_nearest(const Node *n)
{
    return position(ATTRS(resize, n)->nearest_mode, nearest_modes);
}

static bool one_of(const Node *n, const char *what, const char *s,
                   const char *const *names)
{
    return names[position(s, names)] ? true
           : node_error(n, "%s '%s' is unknown", what, s);
}

static bool check_modes(const Node *n)
{
    const Attr_resize *a = ATTRS(resize, n);

    if (resize_mode(n) == MODE_NEAREST && a->antialias)
        return node_error(n, "antialias does not go with mode nearest");
    return one_of(n, "mode", a->mode, modes) &&
           one_of(n, "nearest_mode", a->nearest_mode, nearest_modes) &&
           one_of(n, "coordinate_transformation_mode",
                  a->coordinate_transformation_mode, coord_modes) &&
           one_of(n, "keep_aspect_ratio_policy",
                  a->keep_aspect_ratio_policy, policies);
}

int resize_axes(const Node *n, int *axes)
{
    const Ints *a = &ATTRS(resize, n)->axes;
    int rank = n->in[0]->type.rank;

    for (int i = 0; i < (a->n ? a->n : rank); i++)
        if (!a->n)
            axes[i] = i;
        else if (!node_axis(n, a->v[i], rank, &axes[i]))
            return -1;
    return a->n ? a->n : rank;
}

static bool check_axes(const Node *n, int *axes, int *count)
{
    bool seen[MAX_RANK] = { false };

    if (ATTRS(resize, n)->axes.n > MAX_RANK)
        return node_error(n, "has %d axes", ATTRS(resize, n)->axes.n);
    *count = resize_axes(n, axes);
    for (int i = 0; i < *count; i++) {
        if (seen[axes[i]])
            return node_error(n, "axis %d stands twice in axes", axes[i]);
        seen[axes[i]] = true;
    }
    return *count >= 0;
}

static bool check_operand(const Node *n, int i, int64_t want)
{
    const Value *v = resize_operand(n, i);
    bool ok;

    if (!v)
        return true;
    ok = i == RESIZE_SIZES ? v->type.dt == DT_I64
         : i == RESIZE_ROI ? dtype_is_float(v->type.dt)
                           : v->type.dt == DT_F32;
    if (!ok)
        return node_error(n, "operand '%s' is %s", v->name,
                          dtype_name(v->type.dt));
    if (v->type.rank != 1 || v->type.dim[0] != want)
        return node_error(n, "operand '%s' has %lld values, needs %lld",
                          v->name, (long long)type_elems(&v->type),
                          (long long)want);
    return true;
}

static bool check_node(const Node *n, int *axes, int *count)
{
    const Value *scales = resize_operand(n, RESIZE_SCALES);
    const Value *sizes = resize_operand(n, RESIZE_SIZES);

    if (!check_modes(n) || !check_axes(n, axes, count))
        return false;
    if (!scales == !sizes)
        return node_error(n, scales ? "has both scales and sizes"
                                    : "has neither scales nor sizes");
    if (resize_coords(n) == COORDS_TF_CROP &&
        !resize_operand(n, RESIZE_ROI))
        return node_error(n, "tf_crop_and_resize needs roi");
    return check_operand(n, RESIZE_ROI, 2 * *count) &&
           check_operand(n, RESIZE_SCALES, *count) &&
           check_operand(n, RESIZE_SIZES, *count);
}

/* The scale that keep_aspect_ratio_policy takes for every axis. */
static double common_scale(const Node *n, const int64_t *sizes,
                           const int *axes, int count)
{
    const Type *x = &n->in[0]->type;
    bool least = resize_policy(n) == POLICY_NOT_LARGER;
    double scale = 0;

    for (int i = 0; i < count; i++) {
        double s = (double)sizes[i] / (double)x->dim[axes[i]];
        if (i == 0 || (least ? s < scale : s > scale))
            scale = s;
    }
    return scale;
}

static bool set_axis(const Node *n, ResizeAxis *a, double out)
{
    if (!(a->scale > 0) || isinf(a->scale) || !(out >= 0) || out > INT_MAX)
        return node_error(n, "scale %g of %lld on axis %d makes no size",
                          a->scale, (long long)a->in, a->axis);
    a->out = (int64_t)out;
    return true;
}

/* scale and size of one axis from whichever operand is known */
static bool axis_size(const Node *n, const void *const *operand, int i,
                      const int *axes, int count, const Type *y,
                      ResizeAxis *a)
{
    const int64_t *sizes = operand[RESIZE_SIZES];
    const float *scales = operand[RESIZE_SCALES];
    bool stretch = resize_policy(n) == POLICY_STRETCH;

    if (a->in == 0 || a->in > INT_MAX)
        return node_error(n, "cannot resize axis %d of %lld elements",
                          a->axis, (long long)a->in);
    if (scales) {
        a->scale = (double)scales[i];
        return set_axis(n, a, floor((double)((float)a->in * scales[i])));
    }
    if (sizes && stretch) {
        a->scale = (double)sizes[i] / (double)a->in;
        return sizes[i] == 0 ? (a->out = 0, true)
                             : set_axis(n, a, (double)sizes[i]);
    }
    if (sizes) {
        a->scale = common_scale(n, sizes, axes, count);
        return set_axis(n, a, floor(a->scale * (double)a->in + 0.5));
    }
    /* known at run time only: the declared size and what follows from it */
    a->out = y->dim[a->axis];
    a->scale = (double)a->out / (double)a->in;
    return true;
}

static void axis_roi(const Node *n, const void *data, int i, int count,
                     ResizeAxis *a)
{
    a->roi0 = 0;
    a->roi1 = 1;
    if (data && resize_coords(n) == COORDS_TF_CROP) {
        DType dt = n->in[RESIZE_ROI]->type.dt;
        a->roi0 = elem_get(dt, data, i);
        a->roi1 = elem_get(dt, data, count + i);
    }
}

/* A run-time size is the declared one, and so the scale, unless one scale is
 * taken for all axes. */
static bool is_runtime(const Node *n, const void *const *operand)
{
    bool stretch = resize_policy(n) == POLICY_STRETCH;

    if (resize_coords(n) == COORDS_TF_CROP && !operand[RESIZE_ROI])
        return true;
    return !operand[RESIZE_SCALES] && !operand[RESIZE_SIZES] &&
           (resize_operand(n, RESIZE_SCALES) || !stretch);
}

bool resize_read(const Node *n, const void *const *operand, Resize *r,
                 Type *y)
{
    const Type *x = &n->in[0]->type;
    int axes[MAX_RANK], count = 0, place[MAX_RANK];
    Type shape = *x;

    if (!check_node(n, axes, &count))
        return false;
    r->n = 0;
    r->runtime = is_runtime(n, operand);
    r->nearest = resize_mode(n) == MODE_NEAREST;
    for (int i = 0; i < x->rank; i++)
        place[i] = -1;
    for (int i = 0; i < count; i++)
        place[axes[i]] = i;
    for (int d = 0; d < x->rank; d++) {
        ResizeAxis a = { d, x->dim[d], 0, 0, 0, 1 };
        if (place[d] < 0)
            continue;
        if (!axis_size(n, operand, place[d], axes, count, y, &a))
            return false;
        axis_roi(n, operand[RESIZE_ROI], place[d], count, &a);
        shape.dim[d] = a.out;
        if (!r->runtime && a.in == a.out && fabs(a.scale - 1) <= 1e-9 &&
            fabs(a.roi0) <= 1e-9 && fabs(a.roi1 - 1) <= 1e-9)
            continue;
        r->axis[r->n++] = a;
    }
    *y = shape;
    return true;
}

bool infer_resize(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;
    const void *operand[4] = { NULL };
    const Value *unknown = NULL;
    Type *y = &n->out[0]->type, shape = *y;
    Resize r;

    (void)g;
    for (int i = RESIZE_ROI; i <= RESIZE_SIZES; i++) {
        const Value *v = resize_operand(n, i);
        operand[i] = v ? v->data : NULL;
        if (v && !v->data && i != RESIZE_ROI)
            unknown = v;
    }
    if (dtype_bits(x->dt) < 8 ||
        (x->dt == DT_BOOL && resize_mode(n) != MODE_NEAREST))
        return node_error(n, "cannot resize %s", dtype_name(x->dt));
    if (unknown && !infer_declared(n, unknown))
        return false;
    if (unknown && y->rank != x->rank)
        return node_error(n, "output of rank %d declared for input of rank "
                          "%d", y->rank, x->rank);
    if (!resize_read(n, operand, &r, &shape))
        return false;
    *y = shape;
    y->dt = x->dt;
    return true;
}
