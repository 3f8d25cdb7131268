/* widen.c - float16 and bfloat16 for op families that compute in float:
 * operands are converted, the float evaluation runs, results are rounded
 * once. Generated code does the same by the Casts of passes/legalize.c. */
#include "widen.h"

static bool narrow(const Tensor *t)
{
    return t && (t->type.dt == DT_F16 || t->type.dt == DT_BF16);
}

bool eval_is_narrow(const Node *n, const Tensor *const *in,
                    Tensor *const *out)
{
    for (int i = 0; i < n->nin; i++)
        if (narrow(in[i]))
            return true;
    for (int i = 0; i < n->nout; i++)
        if (narrow(out[i]))
            return true;
    return false;
}

static Tensor *widen(const Tensor *t, Arena *scratch, bool copy)
{
    Tensor *w = NEW(scratch, Tensor);
    int64_t n = type_elems(&t->type);
    float *data = NEW_ARRAY(scratch, float, n + 1);

    for (int64_t i = 0; copy && i < n; i++)
        data[i] = (float)elem_get(t->type.dt, t->data, i);
    w->type = t->type;
    w->type.dt = DT_F32;
    w->data = data;
    return w;
}

bool eval_widened(EvalFn *eval, const Node *n, const Tensor *const *in,
                  Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Tensor **win = NEW_ARRAY(scratch, const Tensor *, n->nin);
    Tensor **wout = NEW_ARRAY(scratch, Tensor *, n->nout);

    for (int i = 0; i < n->nin; i++)
        win[i] = narrow(in[i]) ? widen(in[i], scratch, true) : in[i];
    for (int i = 0; i < n->nout; i++)
        wout[i] = narrow(out[i]) ? widen(out[i], scratch, false) : out[i];
    if (!eval(n, win, wout, scratch, diag))
        return false;
    for (int i = 0; i < n->nout; i++) {
        int64_t count = narrow(out[i]) ? type_elems(&out[i]->type) : 0;
        for (int64_t j = 0; j < count; j++)
            elem_set(out[i]->type.dt, out[i]->data, j,
                     (double)((float *)wout[i]->data)[j]);
    }
    return true;
}
