/* window.h - the geometry of convolutions and pools: kernel, strides,
 * dilations, pads (explicit or by auto_pad) and output sizes. */
#ifndef MCUFC_OPS_WINDOW_H
#define MCUFC_OPS_WINDOW_H

#include "../ir.h"

/* One entry per spatial axis. Output i of an axis reads input
 * i * stride - pad + k * dilation for k in 0..kernel-1. */
typedef struct Window {
    int rank;
    int64_t in[MAX_RANK], out[MAX_RANK], kernel[MAX_RANK];
    int64_t stride[MAX_RANK], dilation[MAX_RANK];
    int64_t pad[MAX_RANK], pad_end[MAX_RANK];
} Window;

/* Attributes as the model gives them; any Ints may be empty. */
typedef struct WindowAttrs {
    const char *auto_pad;       /* NOTSET, SAME_UPPER, SAME_LOWER, VALID */
    Ints strides, dilations, pads;
    bool ceil_mode;
} WindowAttrs;

/* in[], kernel[]: `rank` sizes. False after a message: wrong counts, values
 * below 1, negative pads, a kernel that does not fit. */
bool window_infer(const Node *n, int rank, const int64_t *in,
                  const int64_t *kernel, const WindowAttrs *a, Window *w);

/* The window of Conv, QLinearConv, ConvInteger (attrs conv): x is [N, C,
 * spatial...], w is [M, C/group, kernel...]. Checks group and kernel_shape
 * too. y, when not NULL, gets the output's shape [N, M, spatial...]. */
bool window_conv(const Node *n, const Type *x, const Type *wt, Window *w,
                 Type *y);

#endif
