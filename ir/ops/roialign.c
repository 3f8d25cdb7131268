/* roialign.c - RoiAlign (ONNX 22), after the ONNX reference: `max` is the
 * greatest weighted corner, as there and in ONNX Runtime. Coordinates are
 * float, as in the generated C, so that bins have the same sample counts. */
#include <math.h>
#include <string.h>

#include "../hooks.h"
#include "image.h"
#include "index.h"
#include "real.h"

bool roi_read(const Node *n, Roi *r)
{
    const Attr_roialign *a = ATTRS(roialign, n);
    const Type *x = &n->in[0]->type, *rois = &n->in[1]->type;
    const Type *batch = &n->in[2]->type;
    const char *mode = a->coordinate_transformation_mode;

    if (!dtype_is_float(x->dt) || rois->dt != x->dt || batch->dt != DT_I64)
        return node_error(n, "takes floats and int64 batch indices");
    if (x->rank != 4 || rois->rank != 2 || rois->dim[1] != 4 ||
        batch->rank != 1 || batch->dim[0] != rois->dim[0])
        return node_error(n, "shapes must be [n, c, h, w], [r, 4], [r]");
    if (a->output_height < 1 || a->output_width < 1 ||
        a->output_height > 1 << 20 || a->output_width > 1 << 20 ||
        a->sampling_ratio < 0 || a->sampling_ratio > 1 << 10)
        return node_error(n, "output %lld x %lld with sampling_ratio %lld",
                          (long long)a->output_height,
                          (long long)a->output_width,
                          (long long)a->sampling_ratio);
    if (strcmp(a->mode, "avg") && strcmp(a->mode, "max"))
        return node_error(n, "mode '%s' is unknown", a->mode);
    if (strcmp(mode, "half_pixel") && strcmp(mode, "output_half_pixel"))
        return node_error(n, "coordinate_transformation_mode '%s' is unknown",
                          mode);
    if (x->dim[2] < 1 || x->dim[3] < 1)
        return node_error(n, "image of no pixels");
    *r = (Roi){ x->dim[1], x->dim[2], x->dim[3], rois->dim[0],
                a->output_height, a->output_width, x->dim[0],
                a->sampling_ratio, a->spatial_scale,
                strcmp(mode, "half_pixel") ? 0 : 0.5f,
                !strcmp(a->mode, "max") };
    return check_index_range(n, n->in[2], 0, 1, x->dim[0]);
}

bool infer_roialign(Graph *g, Node *n)
{
    Roi r;

    (void)g;
    if (!roi_read(n, &r))
        return false;
    n->out[0]->type = type_make(n->in[0]->type.dt, 4,
        (int64_t[]){ r.count, r.channels, r.out_h, r.out_w });
    return true;
}

/* One side of a region: where bins start, how wide, samples in each. */
typedef struct Side {
    float start, bin;
    int64_t samples;
} Side;

static Side side_of(const Roi *r, float from, float to, int64_t bins)
{
    float start = from * r->scale - r->offset;
    float size = to * r->scale - r->offset - start;
    Side s;

    if (r->offset == 0)
        size = size > 1 ? size : 1;
    s.start = start;
    s.bin = size / (float)bins;
    s.samples = r->ratio;
    if (!r->ratio)              /* a million samples is nobody's region */
        s.samples = s.bin > 0 ? (int64_t)fminf(ceilf(s.bin), 1024) : 0;
    return s;
}

/* the two elements around a point and the second one's weight */
static bool corners(float at, int64_t len, int64_t *low, int64_t *high,
                    float *t)
{
    if (!(at >= -1) || at > (float)len)
        return false;
    at = at > 0 ? at : 0;
    *low = (int64_t)at;
    *high = *low + 1;
    if (*low >= len - 1) {
        *low = *high = len - 1;
        at = (float)*low;
    }
    *t = at - (float)*low;
    return true;
}

static double bin_value(const Roi *r, const double *x, const Side *v,
                        const Side *h, int64_t oy, int64_t ox)
{
    double acc = 0;
    bool first = true;

    for (int64_t iy = 0; iy < v->samples; iy++)
        for (int64_t ix = 0; ix < h->samples; ix++) {
            float y = v->start + (float)oy * v->bin +
                      ((float)iy + 0.5f) * v->bin / (float)v->samples;
            float xx = h->start + (float)ox * h->bin +
                       ((float)ix + 0.5f) * h->bin / (float)h->samples;
            int64_t y0 = 0, y1 = 0, x0 = 0, x1 = 0;
            float ty = 0, tx = 0, w = 1;
            double a, b, c, d;
            if (!corners(y, r->h, &y0, &y1, &ty) ||
                !corners(xx, r->w, &x0, &x1, &tx))
                w = 0;
            a = (double)(w * (1 - ty) * (1 - tx)) * x[y0 * r->w + x0];
            b = (double)(w * (1 - ty) * tx) * x[y0 * r->w + x1];
            c = (double)(w * ty * (1 - tx)) * x[y1 * r->w + x0];
            d = (double)(w * ty * tx) * x[y1 * r->w + x1];
            if (!r->max)
                acc += a + b + c + d;
            else
                acc = fmax(first ? -INFINITY : acc,
                           fmax(fmax(a, b), fmax(c, d)));
            first = false;
        }
    if (r->max || v->samples * h->samples <= 1)
        return acc;
    return acc / (double)(v->samples * h->samples);
}

bool eval_roialign(const Node *n, const Tensor *const *in,
                   Tensor *const *out, Arena *scratch, Diag *diag)
{
    double *x = real_load(in[0], scratch);
    DType dt = in[1]->type.dt, ydt = out[0]->type.dt;
    int64_t i = 0;
    Roi r;

    (void)diag;
    if (!roi_read(n, &r))
        return false;
    for (int64_t k = 0; k < r.count; k++) {
        float box[4];
        int64_t image = index_clamp(elem_get_int(DT_I64, in[2]->data, k),
                                    r.images);
        Side v, h;
        for (int j = 0; j < 4; j++)
            box[j] = (float)elem_get(dt, in[1]->data, 4 * k + j);
        h = side_of(&r, box[0], box[2], r.out_w);
        v = side_of(&r, box[1], box[3], r.out_h);
        for (int64_t c = 0; c < r.channels; c++)
            for (int64_t oy = 0; oy < r.out_h; oy++)
                for (int64_t ox = 0; ox < r.out_w; ox++)
                    elem_set(ydt, out[0]->data, i++,
                             bin_value(&r, x + (image * r.channels + c) *
                                       r.h * r.w, &v, &h, oy, ox));
    }
    return true;
}
