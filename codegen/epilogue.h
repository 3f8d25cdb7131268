/* epilogue.h - what products and convolutions do to their finished result:
 * the fused activation, a factor and an addend that no kernel took. */
#ifndef MCUFC_CODEGEN_EPILOGUE_H
#define MCUFC_CODEGEN_EPILOGUE_H

#include "emit.h"

/* y0[i] = act(y0[i]) for all elements of n's result; nothing without act */
void emit_act(Emit *e, const Node *n, const char *act, float alpha,
              float beta);

#endif
