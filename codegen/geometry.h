/* geometry.h - windows (ir/ops/window.h) as the kernels of conv.c and
 * pool.c take them. */
#ifndef MCUFC_CODEGEN_GEOMETRY_H
#define MCUFC_CODEGEN_GEOMETRY_H

#include "emit.h"

#include "../ir/ops/window.h"

/* declares g, 21 numbers, three per row (depth, height, width): input size,
 * output size, kernel, stride, dilation, pad, pad at the end */
void emit_geometry(Emit *e, const Window *w);
int64_t window_in(const Window *w);     /* pixels of an input image */
int64_t window_out(const Window *w);    /* pixels of an output image */

#endif
