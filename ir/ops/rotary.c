/* rotary.c - RotaryEmbedding (ONNX 23): pairs of elements of each head turn
 * by the angle of their position. */
#include "rotary.h"

#include "../hooks.h"
#include "index.h"
#include "real.h"

/* [batch, token, half] without position ids, [positions, half] with */
static bool check_cache(const Node *n, int i, const Rotary *r)
{
    const Value *v = n->in[i];
    const Type *t = &v->type;
    bool ids = node_in(n, ROTARY_IDS) != NULL;

    if (t->dt != n->in[0]->type.dt)
        return node_error(n, "cache '%s' is %s, input is %s", v->name,
                          dtype_name(t->dt), dtype_name(n->in[0]->type.dt));
    if (t->rank != (ids ? 2 : 3) || t->dim[t->rank - 1] != r->half ||
        (ids ? t->dim[0] < 1
             : t->dim[0] != r->batch || t->dim[1] != r->len) ||
        !type_same_shape(t, &n->in[1]->type))
        return node_error(n, "cache '%s' does not fit %lld batches of %lld "
                          "tokens and %lld pairs", v->name,
                          (long long)r->batch, (long long)r->len,
                          (long long)r->half);
    return true;
}

static bool check_ids(const Node *n, const Rotary *r)
{
    const Value *v = node_in(n, ROTARY_IDS);

    if (!v)
        return true;
    if (v->type.dt != DT_I64 || v->type.rank != 2 ||
        v->type.dim[0] != r->batch || v->type.dim[1] != r->len)
        return node_error(n, "position_ids '%s' must be int64 [%lld, %lld]",
                          v->name, (long long)r->batch, (long long)r->len);
    return check_index_range(n, v, 0, 1, n->in[1]->type.dim[0]);
}

bool rotary_read(const Node *n, Rotary *r)
{
    const Attr_rotary *a = ATTRS(rotary, n);
    const Type *x = &n->in[0]->type;

    if (!dtype_is_float(x->dt))
        return node_error(n, "takes floats, not %s", dtype_name(x->dt));
    if (x->rank != 3 && x->rank != 4)
        return node_error(n, "input has rank %d, must have 3 or 4", x->rank);
    r->batch = x->dim[0];
    r->heads = x->rank == 4 ? x->dim[1] : a->num_heads;
    r->len = x->rank == 4 ? x->dim[2] : x->dim[1];
    if (x->rank == 3 && (r->heads < 1 || x->dim[2] % r->heads))
        return node_error(n, "num_heads %lld does not divide %lld columns",
                          (long long)r->heads, (long long)x->dim[2]);
    r->size = x->rank == 4 ? x->dim[3] : x->dim[2] / r->heads;
    r->step_h = x->rank == 4 ? r->len * r->size : r->size;
    r->step_t = x->rank == 4 ? r->size : r->heads * r->size;
    r->half = (a->rotary_embedding_dim ? a->rotary_embedding_dim : r->size) / 2;
    r->positions = n->in[1]->type.dim[0];
    if (r->half < 0 || 2 * r->half > r->size ||
        (a->rotary_embedding_dim & 1) || (!a->rotary_embedding_dim &&
                                          r->size & 1))
        return node_error(n, "cannot rotate %lld of %lld elements",
                          (long long)a->rotary_embedding_dim,
                          (long long)r->size);
    return check_cache(n, ROTARY_COS, r) && check_cache(n, ROTARY_SIN, r) &&
           check_ids(n, r);
}

bool infer_rotary(Graph *g, Node *n)
{
    Rotary r;

    (void)g;
    if (!rotary_read(n, &r))
        return false;
    n->out[0]->type = n->in[0]->type;
    return true;
}

static void turn(const Rotary *r, bool interleaved, const double *cos,
                 const double *sin, double *x)
{
    for (int64_t i = 0; i < r->half; i++) {
        double *a = x + (interleaved ? 2 * i : i);
        double *b = x + (interleaved ? 2 * i + 1 : i + r->half);
        double p = *a, q = *b;
        *a = cos[i] * p - sin[i] * q;
        *b = sin[i] * p + cos[i] * q;
    }
}

bool eval_rotary(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    const Tensor *ids = tensor_in(n, in, ROTARY_IDS);
    double *x = real_load(in[0], scratch);
    double *cos = real_load(in[ROTARY_COS], scratch);
    double *sin = real_load(in[ROTARY_SIN], scratch);
    bool inter = ATTRS(rotary, n)->interleaved != 0;
    Rotary r;

    (void)diag;
    if (!rotary_read(n, &r))
        return false;
    for (int64_t b = 0; b < r.batch; b++)
        for (int64_t t = 0; t < r.len; t++) {
            int64_t at = b * r.len + t;
            if (ids)
                at = index_clamp(elem_get_int(DT_I64, ids->data, at),
                                 r.positions);
            for (int64_t h = 0; h < r.heads; h++)
                turn(&r, inter, cos + at * r.half, sin + at * r.half,
                     x + b * r.heads * r.len * r.size + h * r.step_h +
                     t * r.step_t);
        }
    real_store(out[0], x);
    return true;
}
