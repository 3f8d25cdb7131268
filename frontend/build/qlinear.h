/* qlinear.h - what expansions of quantized ops share (expand_qlinear.c). */
#ifndef MCUFC_QLINEAR_H
#define MCUFC_QLINEAR_H

#include "build.h"

/* A scale or zero point of one element becomes a scalar; NULL stays NULL. */
Value *as_scalar(Build *b, Value *v);
/* zero may be NULL */
Value *dequantize(Build *b, Value *x, Value *scale, Value *zero,
                  int64_t axis);
/* float(A B) * scale + bias; in: A and B, integers, and their zero points,
 * which may be NULL, as may bias */
Value *integer_product(Build *b, Value **in, Value *scale, Value *bias);

#endif
