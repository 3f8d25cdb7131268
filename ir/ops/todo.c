/* todo.c - families that are not written yet: weak hooks that refuse.
 * Delete a line with the family that replaces it; then the file. */
#include "../ir.h"

#define INFER(x) \
    InferFn infer_##x; \
    __attribute__((weak)) bool infer_##x(Graph *g, Node *n) \
    { (void)g; return node_error(n, "is not supported yet"); }
#define EVAL(x) \
    EvalFn eval_##x; \
    __attribute__((weak)) bool eval_##x(const Node *n, \
        const Tensor *const *in, Tensor *const *out, Arena *s, Diag *d) \
    { (void)in; (void)out; (void)s; (void)d; \
      return node_error(n, "cannot be evaluated yet"); }

