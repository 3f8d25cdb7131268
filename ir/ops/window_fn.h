/* window_fn.h - samples of Hann, Hamming and Blackman windows. */
#ifndef MCUFC_OPS_WINDOW_FN_H
#define MCUFC_OPS_WINDOW_FN_H

#include "../ir.h"

double window_value(const Node *n, int64_t i, int64_t size);

#endif
