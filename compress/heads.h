/* heads.h - attention layers cut to their first heads. */
#ifndef MCUFC_HEADS_H
#define MCUFC_HEADS_H

#include "ffn.h"

/* keep[i] heads in attention layer i; n == 1: in every layer. Cuts g in
 * place. False after a message. */
bool heads_slice(Graph *g, int n, const int64_t *keep);

#endif
