/* window.c - see window.h; the formulas are those of ONNX Conv-22 and
 * MaxPool-22. */
#include "window.h"

#include <string.h>

enum { WINDOW_LIMIT = 1 << 30 };        /* keeps every product in int64 */

static bool read_ints(const Node *n, const char *what, const Ints *v,
                      int count, int64_t least, int64_t fallback,
                      int64_t *out)
{
    if (v->n && v->n != count)
        return node_error(n, "has %d %s, needs %d", v->n, what, count);
    for (int i = 0; i < count; i++) {
        out[i] = v->n ? v->v[i] : fallback;
        if (out[i] < least || out[i] > WINDOW_LIMIT)
            return node_error(n, "%s are %lld on axis %d, must be at least "
                              "%lld", what, (long long)out[i], i,
                              (long long)least);
    }
    return true;
}

/* SAME: out = ceil(in / stride); the odd pixel goes to the end (UPPER) or
 * the beginning (LOWER). */
static void pad_same(Window *w, int i, bool upper)
{
    int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
    int64_t out = (w->in[i] + w->stride[i] - 1) / w->stride[i];
    int64_t total = (out - 1) * w->stride[i] + reach - w->in[i];

    total = total > 0 ? total : 0;
    w->out[i] = out;
    w->pad[i] = upper ? total / 2 : total - total / 2;
    w->pad_end[i] = total - w->pad[i];
}

static bool axis_out(const Node *n, const WindowAttrs *a, Window *w, int i)
{
    int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
    int64_t room = w->in[i] + w->pad[i] + w->pad_end[i] - reach;
    int64_t s = w->stride[i];

    if (w->in[i] > WINDOW_LIMIT || w->kernel[i] < 1 ||
        w->kernel[i] > WINDOW_LIMIT)
        return node_error(n, "kernel %lld on spatial axis %d of %lld",
                          (long long)w->kernel[i], i, (long long)w->in[i]);
    if (room < 0)
        return node_error(n, "kernel of %lld (dilated) does not fit %lld + "
                          "pads %lld, %lld on spatial axis %d",
                          (long long)reach, (long long)w->in[i],
                          (long long)w->pad[i], (long long)w->pad_end[i], i);
    w->out[i] = room / s + 1;
    /* ceil_mode: one more when it starts inside the input or left pad */
    if (a->ceil_mode && room % s && w->out[i] * s < w->in[i] + w->pad[i])
        w->out[i]++;
    return true;
}

bool window_infer(const Node *n, int rank, const int64_t *in,
                  const int64_t *kernel, const WindowAttrs *a, Window *w)
{
    int64_t pads[2 * MAX_RANK] = { 0 };
    bool same = !strcmp(a->auto_pad, "SAME_UPPER") ||
                !strcmp(a->auto_pad, "SAME_LOWER");
    bool set = !strcmp(a->auto_pad, "NOTSET") || !*a->auto_pad;

    memset(w, 0, sizeof *w);
    w->rank = rank;
    if (!same && !set && strcmp(a->auto_pad, "VALID"))
        return node_error(n, "auto_pad '%s' is unknown", a->auto_pad);
    if (!read_ints(n, "strides", &a->strides, rank, 1, 1, w->stride) ||
        !read_ints(n, "dilations", &a->dilations, rank, 1, 1, w->dilation) ||
        (set && !read_ints(n, "pads", &a->pads, 2 * rank, 0, 0, pads)))
        return false;
    for (int i = 0; i < rank; i++) {
        w->in[i] = in[i];
        w->kernel[i] = kernel[i];
        w->pad[i] = pads[i];
        w->pad_end[i] = pads[rank + i];
        if (same && in[i] <= WINDOW_LIMIT && kernel[i] <= WINDOW_LIMIT)
            pad_same(w, i, a->auto_pad[5] == 'U');
        if (!axis_out(n, a, w, i))
            return false;
    }
    return true;
}

bool window_conv(const Node *n, const Type *x, const Type *wt, Window *w,
                 Type *y)
{
    const Attr_conv *a = ATTRS(conv, n);
    WindowAttrs wa = { a->auto_pad, a->strides, a->dilations, a->pads,
                       false };

    if (x->rank < 3 || wt->rank != x->rank)
        return node_error(n, "input of rank %d and weight of rank %d do not "
                          "fit", x->rank, wt->rank);
    if (a->group < 1 || wt->dim[0] % a->group)
        return node_error(n, "group %lld does not divide %lld output "
                          "channels", (long long)a->group,
                          (long long)wt->dim[0]);
    if (x->dim[1] % a->group || x->dim[1] / a->group != wt->dim[1])
        return node_error(n, "%lld input channels in %lld groups do not fit "
                          "weight with %lld", (long long)x->dim[1],
                          (long long)a->group, (long long)wt->dim[1]);
    if (a->kernel_shape.n && a->kernel_shape.n != x->rank - 2)
        return node_error(n, "kernel_shape has %d sizes, input has %d "
                          "spatial axes", a->kernel_shape.n, x->rank - 2);
    for (int i = 0; i < a->kernel_shape.n; i++)
        if (a->kernel_shape.v[i] != wt->dim[i + 2])
            return node_error(n, "kernel_shape %lld is not the weight's %lld "
                              "on axis %d",
                              (long long)a->kernel_shape.v[i],
                              (long long)wt->dim[i + 2], i);
    if (!window_infer(n, x->rank - 2, x->dim + 2, wt->dim + 2, &wa, w))
        return false;
    if (y) {
        *y = *x;
        y->dim[1] = wt->dim[0];
        for (int i = 0; i < w->rank; i++)
            y->dim[i + 2] = w->out[i];
    }
    return true;
}
