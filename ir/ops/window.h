/* window.h - geometry of everything that slides a window over an image:
 * convolutions, pools and their transposes. One place decides pads and
 * output sizes (ONNX Conv, ConvTranspose, MaxPool; newest opset), so that
 * inference, interpreter, code generator and the memory passes agree. */
#ifndef MCUFC_WINDOW_H
#define MCUFC_WINDOW_H

#include "dense.h"

/* Axis i of the window is spatial axis i of the image (axis 2 + i of the
 * tensor). Output o reads the inputs o * stride - pad + j * dilation for
 * j < kernel, those inside 0..in-1. A transposed convolution reads it
 * backwards: in[] is then the (larger) result and out[] the operand. */
typedef struct Window {
    int rank;
    int64_t in[MAX_RANK], out[MAX_RANK];
    int64_t kernel[MAX_RANK], stride[MAX_RANK], dilation[MAX_RANK];
    int64_t pad[MAX_RANK], pad_end[MAX_RANK];
} Window;

/* The attributes that all of these ops have in common. */
typedef struct WindowAttrs {
    const char *auto_pad;
    const Ints *dilations, *pads, *strides;     /* dilations may be NULL */
    bool ceil_mode;
} WindowAttrs;

/* Fill w; rank, in and kernel are set already. False after a message. */
bool window_make(const Node *n, const WindowAttrs *a, Window *w);
/* kernel_shape, when given, must be the spatial dims of W (axis 2 on) */
bool window_kernel(const Node *n, const Ints *kernel_shape, const Type *wt,
                   Window *w);
int64_t window_elems(const Window *w);      /* taps: product of kernel */

/* Outputs [*lo, *hi) of axis i whose tap j lies inside the image. */
void window_span(const Window *w, int i, int64_t j, int64_t *lo,
                 int64_t *hi);

/* What a convolution multiplies: batch x group x (mg outputs from cg
 * inputs), over a window. Conv, ConvInteger and QLinearConv: x is
 * N x group*cg x in, W is group*mg x cg x kernel. */
typedef struct ConvShape {
    int64_t batch, group, cg, mg;
    Window win;
} ConvShape;

/* stem conv; x and w are the types of image and weights */
bool conv_shape(const Node *n, const Type *x, const Type *w, ConvShape *s);
Type conv_type(const ConvShape *s, DType dt);   /* of the result */
/* conv_shape's window alone; y, when not NULL, gets the result's type with
 * x's dtype */
bool window_conv(const Node *n, const Type *x, const Type *w, Window *win,
                 Type *y);
/* y += x * W, all dense and in class c (dense.h); for every op that is one */
void conv_product(const ConvShape *s, Class c, const void *x, const void *wt,
                  void *y, Arena *scratch);
/* stem convtranspose; W is group*cg x mg x kernel */
bool convtranspose_shape(const Node *n, ConvShape *s);
/* stem pool; batch x group images, cg = mg = 1 */
bool pool_shape(const Node *n, ConvShape *s);
/* Col2Im with constant shapes: in[] is the image, cg the channels */
bool col2im_shape(const Node *n, ConvShape *s);

#endif
