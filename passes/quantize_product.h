/* quantize_product.h - convolutions on their way to QConv. */
#ifndef MCUFC_QUANTIZE_PRODUCT_H
#define MCUFC_QUANTIZE_PRODUCT_H

#include "../ir/ops/window.h"
#include "quantize.h"

typedef struct ConvSite {
    Node *conv;
    Value *x;                   /* codes, channels first */
    Grid xg;
    ConvShape shape;            /* of the QConv */
    Channels channels;          /* left to conv_of_codes() */
    double *bias;               /* per output */
} ConvSite;

/* A bias operand, or none, added to bias[n]; false after s->why */
bool const_bias(Site *s, const Value *b, int64_t n, double *bias);
/* The QConv of weights [output][channel of the group][taps], not yet in the
 * graph; NULL after s->why */
Node *conv_of_codes(Site *s, ConvSite *c, Weights *w);
/* quantize_deconv.c: ConvTranspose as a QConv; bias as in ConvSite */
bool convert_deconv(Site *s, Node *deconv, double *bias);

#endif
