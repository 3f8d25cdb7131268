/* todo.c - parts that are not in yet, as weak functions that refuse.
 * Delete a function with the part that replaces it; then the file. */
#include "compile.h"

#define WEAK __attribute__((weak))

WEAK bool onnx_load(const char *p, Arena *a, Diag *d, Model *m)
{
    (void)a, (void)m;
    return diag_error(d, "cannot read ONNX yet: %s", p);
}
WEAK bool onnx_save(Graph *g, Buf *b)
{
    (void)b;
    return diag_error(g->diag, "cannot write ONNX yet");
}
WEAK int model_unsupported(const Model *m, Arena *a, Buf *b)
{
    (void)m, (void)a, (void)b;
    return 0;
}
WEAK bool model_build(const Model *m, const BuildOptions *o, Graph *g)
{
    (void)m, (void)o;
    return diag_error(g->diag, "cannot build graphs yet");
}
