/* real.c - see real.h */
#include "real.h"

double *real_load(const Tensor *t, Arena *a)
{
    int64_t n = t ? type_elems(&t->type) : 0;
    double *v;

    if (!t)
        return NULL;
    v = NEW_ARRAY(a, double, n);
    for (int64_t i = 0; i < n; i++)
        v[i] = elem_get(t->type.dt, t->data, i);
    return v;
}

void real_store(Tensor *t, const double *v)
{
    int64_t n = t ? type_elems(&t->type) : 0;

    for (int64_t i = 0; i < n; i++)
        elem_set(t->type.dt, t->data, i, v[i]);
}

const Tensor *tensor_in(const Node *n, const Tensor *const *in, int i)
{
    return i >= 0 && i < n->nin ? in[i] : NULL;
}

Tensor *tensor_out(const Node *n, Tensor *const *out, int i)
{
    return i < n->nout ? out[i] : NULL;
}
