/* window.c - pads and output sizes of sliding windows, see window.h. */
#include "window.h"

#include <string.h>

/* Numbers beyond these overflow nothing, but no image has them. */
enum { MAX_STEP = 1 << 24, MAX_SPATIAL = 3 };
static const int64_t max_extent = (int64_t)1 << 32;

static bool read_ints(const Node *n, const char *what, const Ints *a,
                      int count, int64_t least, int64_t fill, int64_t *out)
{
    for (int i = 0; i < count; i++)
        out[i] = fill;
    if (!a || !a->n)
        return true;
    if (a->n != count)
        return node_error(n, "has %d %s for %d spatial axes", a->n, what,
                          count);
    for (int i = 0; i < count; i++) {
        out[i] = a->v[i];
        if (out[i] < least || out[i] > MAX_STEP)
            return node_error(n, "%s has the value %lld", what,
                              (long long)out[i]);
    }
    return true;
}

static int64_t extent(const Window *w, int i)
{
    return (w->kernel[i] - 1) * w->dilation[i] + 1;
}

/* the rule of auto_pad SAME: out = ceil(in / stride) */
static void same_pads(Window *w, int i, bool upper)
{
    int64_t total;

    w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
    total = (w->out[i] - 1) * w->stride[i] + extent(w, i) - w->in[i];
    if (total < 0 || !w->in[i])
        total = 0;
    w->pad[i] = upper ? total / 2 : total - total / 2;
    w->pad_end[i] = total - w->pad[i];
}

static bool output_size(const Node *n, const WindowAttrs *a, Window *w, int i)
{
    int64_t room = w->in[i] + w->pad[i] + w->pad_end[i] - extent(w, i);

    if (room < 0 && w->in[i] == 0) {
        w->out[i] = 0;
        return true;
    }
    if (room < 0)
        return node_error(n, "window of %lld does not fit the %lld elements "
                          "(padding %lld + %lld) of spatial axis %d",
                          (long long)extent(w, i), (long long)w->in[i],
                          (long long)w->pad[i], (long long)w->pad_end[i], i);
    w->out[i] = room / w->stride[i] + 1;
    if (a->ceil_mode) {
        w->out[i] += room % w->stride[i] != 0;
        /* a window that would start in the end padding is left out */
        if ((w->out[i] - 1) * w->stride[i] >= w->in[i] + w->pad[i])
            w->out[i]--;
    }
    return true;
}

bool window_make(const Node *n, const WindowAttrs *a, Window *w)
{
    int64_t pads[2 * MAX_RANK];
    bool valid = !strcmp(a->auto_pad, "VALID");
    bool same = !strncmp(a->auto_pad, "SAME_", 5);
    bool upper = !strcmp(a->auto_pad, "SAME_UPPER");
    WindowAttrs plain = *a;

    if (!valid && !upper && strcmp(a->auto_pad, "SAME_LOWER") &&
        strcmp(a->auto_pad, "NOTSET") && a->auto_pad[0])
        return node_error(n, "auto_pad '%s' is unknown", a->auto_pad);
    if (!read_ints(n, "strides", a->strides, w->rank, 1, 1, w->stride) ||
        !read_ints(n, "dilations", a->dilations, w->rank, 1, 1,
                   w->dilation) ||
        !read_ints(n, "pads", valid || same ? NULL : a->pads, 2 * w->rank, 0,
                   0, pads))
        return false;
    plain.ceil_mode = a->ceil_mode && !valid;
    if (window_elems(w) > max_extent)
        return node_error(n, "the window is too large");
    for (int i = 0; i < w->rank; i++) {
        if (w->in[i] > max_extent || w->kernel[i] > MAX_STEP ||
            w->kernel[i] < 1)
            return node_error(n, "spatial axis %d has %lld elements and a "
                              "window of %lld", i, (long long)w->in[i],
                              (long long)w->kernel[i]);
        w->pad[i] = pads[i];
        w->pad_end[i] = pads[w->rank + i];
        if (same)
            same_pads(w, i, upper);
        else if (!output_size(n, &plain, w, i))
            return false;
    }
    return true;
}

bool window_kernel(const Node *n, const Ints *kernel_shape, const Type *wt,
                   Window *w)
{
    for (int i = 0; i < w->rank; i++)
        w->kernel[i] = wt->dim[2 + i];
    if (!kernel_shape->n)
        return true;
    if (kernel_shape->n != w->rank)
        return node_error(n, "kernel_shape has %d axes, the weights have %d",
                          kernel_shape->n, w->rank);
    for (int i = 0; i < w->rank; i++)
        if (kernel_shape->v[i] != w->kernel[i])
            return node_error(n, "kernel_shape is %lld on spatial axis %d, "
                              "the weights have %lld",
                              (long long)kernel_shape->v[i], i,
                              (long long)w->kernel[i]);
    return true;
}

/* saturates just above max_extent: the attributes are not checked yet */
int64_t window_elems(const Window *w)
{
    int64_t n = 1;

    for (int i = 0; i < w->rank; i++) {
        if (w->kernel[i] > 0 && n > max_extent / w->kernel[i])
            return max_extent + 1;
        n *= w->kernel[i];
    }
    return n;
}

void window_span(const Window *w, int i, int64_t j, int64_t *lo, int64_t *hi)
{
    int64_t s = w->stride[i], at = j * w->dilation[i] - w->pad[i];
    int64_t first = at < 0 ? (-at + s - 1) / s : 0;
    int64_t end = w->in[i] > at ? (w->in[i] - at + s - 1) / s : 0;

    *hi = end < w->out[i] ? end : w->out[i];
    *lo = first < *hi ? first : *hi;
}

static bool image_rank(const Node *n, const Type *x, Window *w)
{
    w->rank = x->rank - 2;
    if (w->rank < 1)
        return node_error(n, "input has rank %d, needs batch, channels and "
                          "at least one spatial axis", x->rank);
    if (w->rank > MAX_SPATIAL)
        return node_error(n, "%d spatial axes, at most %d are supported",
                          w->rank, MAX_SPATIAL);
    for (int i = 0; i < w->rank; i++)
        w->in[i] = x->dim[2 + i];
    return true;
}

static bool weights_rank(const Node *n, const Type *x, const Type *w)
{
    if (w->rank != x->rank)
        return node_error(n, "weights have rank %d, the input has rank %d",
                          w->rank, x->rank);
    return true;
}

bool conv_shape(const Node *n, const Type *x, const Type *w, ConvShape *s)
{
    const Attr_conv *a = ATTRS(conv, n);
    WindowAttrs wa = { a->auto_pad, &a->dilations, &a->pads, &a->strides,
                       false };

    memset(s, 0, sizeof *s);
    if (!image_rank(n, x, &s->win) || !weights_rank(n, x, w) ||
        !window_kernel(n, &a->kernel_shape, w, &s->win) ||
        !window_make(n, &wa, &s->win))
        return false;
    s->batch = x->dim[0];
    s->group = a->group;
    s->cg = w->dim[1];
    if (s->group < 1 || x->dim[1] % s->group)
        return node_error(n, "group %lld does not divide %lld input channels",
                          (long long)s->group, (long long)x->dim[1]);
    if (w->dim[0] % s->group)
        return node_error(n, "group %lld does not divide %lld output "
                          "channels", (long long)s->group,
                          (long long)w->dim[0]);
    if (s->cg != x->dim[1] / s->group)
        return node_error(n, "weights want %lld input channels per group, "
                          "the input has %lld", (long long)s->cg,
                          (long long)(x->dim[1] / s->group));
    s->mg = w->dim[0] / s->group;
    return true;
}

Type conv_type(const ConvShape *s, DType dt)
{
    Type t = { dt, 2 + s->win.rank, { s->batch, s->group * s->mg } };

    for (int i = 0; i < s->win.rank; i++)
        t.dim[2 + i] = s->win.out[i];
    return t;
}

bool window_conv(const Node *n, const Type *x, const Type *w, Window *win,
                 Type *y)
{
    ConvShape s;

    if (!conv_shape(n, x, w, &s))
        return false;
    *win = s.win;
    if (y)
        *y = conv_type(&s, x->dt);
    return true;
}

/* Result size of axis i; win.out is the operand's size here. */
static bool transposed_size(const Node *n, const Attr_convtranspose *a,
                            Window *w, int i, const int64_t *pads,
                            int64_t extra, int64_t wanted)
{
    bool same = !strncmp(a->auto_pad, "SAME_", 5);
    int64_t full = (w->out[i] - 1) * w->stride[i] + extra + extent(w, i);
    int64_t total;

    if (w->out[i] == 0)
        full = 0;
    if (same && wanted < 0) {
        wanted = w->out[i] * w->stride[i];
        wanted = wanted < full ? wanted : full;     /* pads are not < 0 */
    }
    if (wanted < 0) {
        w->pad[i] = pads[i];
        w->pad_end[i] = pads[w->rank + i];
        w->in[i] = full - w->pad[i] - w->pad_end[i];
        if (w->in[i] < 0)
            return node_error(n, "pads %lld + %lld leave nothing of the "
                              "%lld elements of spatial axis %d",
                              (long long)w->pad[i], (long long)w->pad_end[i],
                              (long long)full, i);
        return true;
    }
    total = full > wanted ? full - wanted : 0;
    w->in[i] = wanted;
    w->pad[i] = !strcmp(a->auto_pad, "SAME_UPPER") ? total / 2
                                                   : total - total / 2;
    w->pad_end[i] = total - w->pad[i];
    return true;
}

static bool transposed_sizes(const Node *n, const Attr_convtranspose *a,
                             Window *w, const int64_t *shape)
{
    int64_t pads[2 * MAX_RANK], extra[MAX_RANK];
    bool notset = !strcmp(a->auto_pad, "NOTSET") || !a->auto_pad[0];

    if (!notset && strcmp(a->auto_pad, "VALID") &&
        strcmp(a->auto_pad, "SAME_UPPER") &&
        strcmp(a->auto_pad, "SAME_LOWER"))
        return node_error(n, "auto_pad '%s' is unknown", a->auto_pad);
    if (!read_ints(n, "strides", &a->strides, w->rank, 1, 1, w->stride) ||
        !read_ints(n, "dilations", &a->dilations, w->rank, 1, 1,
                   w->dilation) ||
        !read_ints(n, "output_padding", &a->output_padding, w->rank, 0, 0,
                   extra) ||
        !read_ints(n, "pads", notset ? &a->pads : NULL, 2 * w->rank, 0, 0,
                   pads))
        return false;
    for (int i = 0; i < w->rank; i++) {
        if (w->out[i] > max_extent || w->kernel[i] > MAX_STEP ||
            w->kernel[i] < 1)
            return node_error(n, "spatial axis %d has %lld elements and a "
                              "window of %lld", i, (long long)w->out[i],
                              (long long)w->kernel[i]);
        if (!transposed_size(n, a, w, i, pads, extra[i],
                             shape ? shape[i] : -1))
            return false;
    }
    return true;
}

bool convtranspose_shape(const Node *n, ConvShape *s)
{
    const Attr_convtranspose *a = ATTRS(convtranspose, n);
    const Type *x = &n->in[0]->type, *w = &n->in[1]->type;
    int64_t shape[MAX_RANK];
    const int64_t *given = NULL;

    memset(s, 0, sizeof *s);
    if (!image_rank(n, x, &s->win) || !weights_rank(n, x, w) ||
        !window_kernel(n, &a->kernel_shape, w, &s->win))
        return false;
    memcpy(s->win.out, s->win.in, sizeof s->win.out);
    if (a->output_shape.n) {
        int skip = a->output_shape.n == x->rank ? 2 : 0;
        Ints spatial = { a->output_shape.n - skip,
                         a->output_shape.v + skip };
        if (!read_ints(n, "output_shape", &spatial, s->win.rank, 0, 0,
                       shape))
            return false;
        given = shape;
    }
    if (!transposed_sizes(n, a, &s->win, given))
        return false;
    s->batch = x->dim[0];
    s->group = a->group;
    if (s->group < 1 || x->dim[1] % s->group)
        return node_error(n, "group %lld does not divide %lld input channels",
                          (long long)s->group, (long long)x->dim[1]);
    if (w->dim[0] != x->dim[1])
        return node_error(n, "weights want %lld input channels, the input "
                          "has %lld", (long long)w->dim[0],
                          (long long)x->dim[1]);
    s->cg = x->dim[1] / s->group;
    s->mg = w->dim[1];
    return true;
}

bool pool_shape(const Node *n, ConvShape *s)
{
    const Attr_pool *a = ATTRS(pool, n);
    const Type *x = &n->in[0]->type;
    WindowAttrs wa = { a->auto_pad, &a->dilations, &a->pads, &a->strides,
                       a->ceil_mode != 0 };

    memset(s, 0, sizeof *s);
    if (!image_rank(n, x, &s->win) ||
        !read_ints(n, "kernel_shape", &a->kernel_shape, s->win.rank, 1, 0,
                   s->win.kernel) ||
        !window_make(n, &wa, &s->win))
        return false;
    s->batch = x->dim[0];
    s->group = x->dim[1];
    s->cg = s->mg = 1;
    return true;
}

bool col2im_shape(const Node *n, ConvShape *s)
{
    const Attr_col2im *a = ATTRS(col2im, n);
    const Type *x = &n->in[0]->type;
    WindowAttrs wa = { "NOTSET", &a->dilations, &a->pads, &a->strides,
                       false };
    int rank, krank;
    int64_t blocks = 1;

    memset(s, 0, sizeof *s);
    if (!value_ints(n->in[1], MAX_SPATIAL, s->win.in, &rank) ||
        !value_ints(n->in[2], MAX_SPATIAL, s->win.kernel, &krank))
        return node_error(n, "image_shape or block_shape is not a constant "
                          "of up to %d numbers", MAX_SPATIAL);
    if (rank != krank || rank < 1)
        return node_error(n, "image_shape has %d axes, block_shape has %d",
                          rank, krank);
    s->win.rank = rank;
    for (int i = 0; i < rank; i++)
        if (s->win.in[i] < 0)
            return node_error(n, "image_shape has the value %lld",
                              (long long)s->win.in[i]);
    if (!window_make(n, &wa, &s->win))
        return false;
    for (int i = 0; i < rank; i++) {
        if (s->win.out[i] && blocks > max_extent / s->win.out[i])
            return node_error(n, "the image is too large");
        blocks *= s->win.out[i];
    }
    if (x->rank != 3)
        return node_error(n, "input has rank %d, needs 3", x->rank);
    if (blocks != x->dim[2] || x->dim[1] % window_elems(&s->win))
        return node_error(n, "the input is %lld columns of %lld elements, "
                          "image and block make %lld of %lld",
                          (long long)x->dim[2], (long long)x->dim[1],
                          (long long)blocks,
                          (long long)window_elems(&s->win));
    s->batch = x->dim[0];
    s->group = 1;
    s->cg = s->mg = x->dim[1] / window_elems(&s->win);
    return true;
}
