/* attention.c - Attention (ONNX 23 to 25). A query sees the keys [from, to)
 * that causality, window and cache length leave, minus the masked ones; a
 * query that sees none gives a row of zeros. Our attribute nan_rows says that
 * the node was a Softmax between products, where such a row is NaN. */
#include "attention.h"

#include <math.h>
#include <string.h>

#include "../hooks.h"
#include "real.h"

/* The attributes of either op. */
static Attr_attention attributes(const Node *n)
{
    const Attr_qattention *q = ATTRS(qattention, n);

    if (n->op != OP_QAttention)
        return *ATTRS(attention, n);
    return (Attr_attention){
        .is_causal = q->is_causal, .scale = q->scale,
        .kv_num_heads = q->kv_num_heads, .q_num_heads = q->q_num_heads,
        .left_window_size = q->left_window_size,
        .right_window_size = q->right_window_size,
    };
}

static bool check_codes(const Node *n)
{
    static const int pair[2][2] = { { ATTN_K, ATTN_PAST_K },
                                    { ATTN_V, ATTN_PAST_V } };

    for (int i = 0; i < 2; i++) {
        const Value *new = n->in[pair[i][0]], *past = node_in(n, pair[i][1]);
        if (past && past->type.dt != new->type.dt)
            return node_error(n, "past '%s' is %s, '%s' is %s", past->name,
                              dtype_name(past->type.dt), new->name,
                              dtype_name(new->type.dt));
    }
    return true;
}

static bool check_floats(const Node *n)
{
    static const int same[] = { ATTN_K, ATTN_V, ATTN_PAST_K, ATTN_PAST_V };
    DType dt = n->in[ATTN_Q]->type.dt;

    if (!dtype_is_float(dt))
        return node_error(n, "takes floats, not %s", dtype_name(dt));
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        const Value *v = node_in(n, same[i]);
        if (v && v->type.dt != dt)
            return node_error(n, "operand '%s' is %s, Q is %s", v->name,
                              dtype_name(v->type.dt), dtype_name(dt));
    }
    return true;
}

/* [batch, token, head * size] or [batch, head, token, size] */
static bool read_operand(const Node *n, const Value *v, int64_t heads,
                         int64_t *got_heads, int64_t *len, int64_t *size,
                         AttnWalk *w)
{
    const Type *t = &v->type;

    if (t->rank == 4) {
        *got_heads = t->dim[1];
        *len = t->dim[2];
        *size = t->dim[3];
        *w = (AttnWalk){ t->dim[1] * t->dim[2] * t->dim[3],
                         t->dim[2] * t->dim[3], t->dim[3] };
        return heads == 0 || heads == t->dim[1] ||
               node_error(n, "'%s' has %lld heads, the attribute says %lld",
                          v->name, (long long)t->dim[1], (long long)heads);
    }
    if (heads < 1 || t->dim[2] % heads)
        return node_error(n, "%lld heads do not divide the %lld columns of "
                          "'%s'", (long long)heads, (long long)t->dim[2],
                          v->name);
    *got_heads = heads;
    *len = t->dim[1];
    *size = t->dim[2] / heads;
    *w = (AttnWalk){ t->dim[1] * t->dim[2], *size, t->dim[2] };
    return true;
}

static bool read_qkv(const Node *n, const Attr_attention *at, Attn *a)
{
    const Type *q = &n->in[ATTN_Q]->type;
    int64_t v_heads, v_len, k_size;

    for (int i = ATTN_Q; i <= ATTN_V; i++) {
        const Type *t = &n->in[i]->type;
        if (t->rank != q->rank || (t->rank != 3 && t->rank != 4))
            return node_error(n, "Q, K, V must all have rank 3 or 4");
        if (t->dim[0] != q->dim[0])
            return node_error(n, "batch sizes of Q, K, V differ");
    }
    a->batch = q->dim[0];
    if (!read_operand(n, n->in[ATTN_Q], at->q_num_heads, &a->heads,
                      &a->q_len, &a->dk, &a->q) ||
        !read_operand(n, n->in[ATTN_K], at->kv_num_heads, &a->kv_heads,
                      &a->kv_len, &k_size, &a->k) ||
        !read_operand(n, n->in[ATTN_V], at->kv_num_heads, &v_heads, &v_len,
                      &a->dv, &a->v))
        return false;
    if (k_size != a->dk || v_len != a->kv_len || v_heads != a->kv_heads)
        return node_error(n, "sizes of Q, K and V do not fit: heads of %lld "
                          "and %lld, %lld and %lld keys", (long long)a->dk,
                          (long long)k_size, (long long)a->kv_len,
                          (long long)v_len);
    if (a->kv_heads < 1 || a->heads % a->kv_heads)
        return node_error(n, "%lld key heads do not divide %lld query heads",
                          (long long)a->kv_heads, (long long)a->heads);
    a->group = a->heads / a->kv_heads;
    if (q->rank == 4)
        a->y = (AttnWalk){ a->heads * a->q_len * a->dv, a->q_len * a->dv,
                           a->dv };
    else
        a->y = (AttnWalk){ a->q_len * a->heads * a->dv, a->dv,
                           a->heads * a->dv };
    return true;
}

static bool check_past(const Node *n, const Value *v, const Attn *a,
                       int64_t size)
{
    const Type *t = &v->type;

    if (t->rank == 4 && t->dim[0] == a->batch && t->dim[1] == a->kv_heads &&
        t->dim[2] == a->past && t->dim[3] == size)
        return true;
    return node_error(n, "past '%s' must be [%lld, %lld, %lld, %lld]",
                      v->name, (long long)a->batch, (long long)a->kv_heads,
                      (long long)a->past, (long long)size);
}

static AttnWalk cache_walk(const Attn *a, int64_t len, int64_t size)
{
    return (AttnWalk){ a->kv_heads * len * size, len * size, size };
}

static bool read_past(const Node *n, Attn *a)
{
    const Value *k = node_in(n, ATTN_PAST_K), *v = node_in(n, ATTN_PAST_V);
    const Value *lens = node_in(n, ATTN_LENS);

    if (!k != !v)
        return node_error(n, "has only one of past_key and past_value");
    a->has_past = k != NULL;
    a->has_lens = lens != NULL;
    if (k) {
        a->past = k->type.rank == 4 ? k->type.dim[2] : -1;
        if (!check_past(n, k, a, a->dk) || !check_past(n, v, a, a->dv))
            return false;
    }
    if (lens && k)
        return node_error(n, "nonpad_kv_seqlen does not go with past_key");
    if (lens && (lens->type.dt != DT_I64 || lens->type.rank != 1 ||
                 lens->type.dim[0] != a->batch))
        return node_error(n, "nonpad_kv_seqlen must be int64 with %lld values",
                          (long long)a->batch);
    a->total = a->past + a->kv_len;
    a->past_k = cache_walk(a, a->past, a->dk);
    a->past_v = cache_walk(a, a->past, a->dv);
    a->present_k = cache_walk(a, a->total, a->dk);
    a->present_v = cache_walk(a, a->total, a->dv);
    return true;
}

static bool read_mask(const Node *n, Attn *a)
{
    const Value *v = node_in(n, ATTN_MASK);
    int64_t want[4] = { a->batch, a->heads, a->q_len, a->total };
    int64_t stride[MAX_RANK], walk[4] = { 0 };
    const Type *t;

    if (!v)
        return true;
    t = &v->type;
    a->has_mask = true;
    a->bool_mask = t->dt == DT_BOOL;
    if (n->op == OP_Attention && t->dt != DT_BOOL &&
        t->dt != n->in[ATTN_Q]->type.dt)
        return node_error(n, "mask '%s' is %s, must be bool or of Q's type",
                          v->name, dtype_name(t->dt));
    if (t->rank < 1 || t->rank > 4)
        return node_error(n, "mask '%s' has rank %d", v->name, t->rank);
    type_strides(t, stride);
    for (int i = 0; i < t->rank; i++) {
        int k = i + 4 - t->rank;
        if (k == 3 ? t->dim[i] > want[3]
                   : t->dim[i] != 1 && t->dim[i] != want[k])
            return node_error(n, "mask '%s' has %lld on axis %d, scores %lld",
                              v->name, (long long)t->dim[i], i,
                              (long long)want[k]);
        walk[k] = t->dim[i] == 1 ? 0 : stride[i];
    }
    a->mask = (AttnWalk){ walk[0], walk[1], walk[2] };
    a->mask_len = t->dim[t->rank - 1];
    return true;
}

static bool read_numbers(const Node *n, const Attr_attention *at, Attn *a)
{
    int64_t p = at->softmax_precision;

    if (!(at->scale >= 0) || isinf(at->scale))
        return node_error(n, "scale %g must be positive", (double)at->scale);
    if (!(at->softcap >= 0) || isinf(at->softcap))
        return node_error(n, "softcap %g must be positive",
                          (double)at->softcap);
    if (at->qk_matmul_output_mode < 0 || at->qk_matmul_output_mode > 3)
        return node_error(n, "qk_matmul_output_mode %lld is unknown",
                          (long long)at->qk_matmul_output_mode);
    if (p < 0 || p >= DT_MAX || (p && !dtype_is_float((DType)p)))
        return node_error(n, "softmax_precision %lld is no float type",
                          (long long)p);
    if (at->left_window_size < -1 || at->right_window_size < -1)
        return node_error(n, "window of %lld and %lld keys",
                          (long long)at->left_window_size,
                          (long long)at->right_window_size);
    a->scale = at->scale != 0 ? at->scale : (float)(1 / sqrt((double)a->dk));
    a->softcap = at->softcap;
    a->nan_rows = at->nan_rows != 0;
    a->qk_mode = (int)at->qk_matmul_output_mode;
    a->causal = at->is_causal != 0;
    a->left = at->left_window_size;
    a->right = at->right_window_size;
    if (a->left >= a->total + a->q_len)         /* reaches over everything */
        a->left = -1;
    if (a->right >= a->total + a->q_len)
        a->right = -1;
    return true;
}

bool attn_read(const Node *n, Attn *a)
{
    const Attr_attention at = attributes(n);

    memset(a, 0, sizeof *a);
    if (!(n->op == OP_QAttention ? check_codes(n) : check_floats(n)) ||
        !read_qkv(n, &at, a) || !read_past(n, a))
        return false;
    if (a->dk < 1 || a->total > 1 << 30 || a->q_len > 1 << 30)
        return node_error(n, "heads of %lld, %lld queries, %lld keys",
                          (long long)a->dk, (long long)a->q_len,
                          (long long)a->total);
    return read_mask(n, a) && read_numbers(n, &at, a);
}

bool infer_attention(Graph *g, Node *n)
{
    DType dt = n->in[ATTN_Q]->type.dt;
    Attn a;

    (void)g;
    if (!attn_read(n, &a))
        return false;
    if (node_out(n, ATTN_Y))
        n->out[ATTN_Y]->type = n->in[ATTN_Q]->type.rank == 4
            ? type_make(dt, 4, (int64_t[]){ a.batch, a.heads, a.q_len, a.dv })
            : type_make(dt, 3, (int64_t[]){ a.batch, a.q_len,
                                            a.heads * a.dv });
    if (node_out(n, ATTN_PRESENT_K))
        n->out[ATTN_PRESENT_K]->type = type_make(dt, 4,
            (int64_t[]){ a.batch, a.kv_heads, a.total, a.dk });
    if (node_out(n, ATTN_PRESENT_V))
        n->out[ATTN_PRESENT_V]->type = type_make(dt, 4,
            (int64_t[]){ a.batch, a.kv_heads, a.total, a.dv });
    if (node_out(n, ATTN_QK))
        n->out[ATTN_QK]->type = type_make(dt, 4,
            (int64_t[]){ a.batch, a.heads, a.q_len, a.total });
    return true;
}

void attn_range(const Attn *a, int64_t i, int64_t len, int64_t *from,
                int64_t *to)
{
    int64_t at = i + a->past;

    if (a->has_lens)
        at = i + len - a->q_len;
    *from = a->left >= 0 && at - a->left > 0 ? at - a->left : 0;
    *to = a->has_lens && len < a->total ? len : a->total;
    if (a->causal && at + 1 < *to)
        *to = at + 1;
    if (a->right >= 0 && at + a->right + 1 < *to)
        *to = at + a->right + 1;
    if (*to < *from)
        *to = *from;
}

typedef struct Run {
    Attn a;
    const Tensor *mask, *lens;
    double *q, *k, *v;          /* k, v: [batch, kv head, total, size] */
    double *y, *qk;             /* qk: NULL when not wanted */
    double *score, *bias;       /* one row */
} Run;

/* past and new tokens side by side */
static double *join(const Attn *a, const Tensor *past, const Tensor *t,
                    AttnWalk w, int64_t size, Arena *arena)
{
    double *old = real_load(past, arena), *new = real_load(t, arena);
    double *all = NEW_ARRAY(arena, double,
                            a->batch * a->kv_heads * a->total * size);
    double *to = all;

    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t h = 0; h < a->kv_heads; h++) {
            int64_t n = a->past * size;
            if (n)
                memcpy(to, old + (b * a->kv_heads + h) * n,
                       (size_t)n * sizeof *to);
            to += n;
            for (int64_t j = 0; j < a->kv_len; j++, to += size)
                memcpy(to, new + b * w.b + h * w.h + j * w.t,
                       (size_t)size * sizeof *to);
        }
    return all;
}

/* 0, the mask's value, or -infinity; true when some key is visible */
static bool fill_bias(const Run *r, int64_t b, int64_t h, int64_t i)
{
    const Attn *a = &r->a;
    int64_t from, to, len = a->total;
    bool any = false;

    if (r->lens) {
        len = elem_get_int(DT_I64, r->lens->data, b);
        len = len < 0 ? 0 : len > a->total ? a->total : len;
    }
    attn_range(a, i, len, &from, &to);
    for (int64_t j = 0; j < a->total; j++) {
        double bias = j < from || j >= to ? -INFINITY : 0;
        if (r->mask && j >= a->mask_len)
            bias = -INFINITY;
        else if (r->mask) {
            double m = elem_get(r->mask->type.dt, r->mask->data,
                                b * a->mask.b + h * a->mask.h +
                                i * a->mask.t + j);
            bias += a->bool_mask ? (m != 0 ? 0 : -INFINITY) : m;
        }
        r->bias[j] = bias;
        any |= bias != -INFINITY;
    }
    return any;
}

static void keep(const Run *r, int mode, int64_t row)
{
    if (r->qk && r->a.qk_mode == mode)
        memcpy(r->qk + row * r->a.total, r->score,
               (size_t)r->a.total * sizeof *r->qk);
}

static void softmax(double *x, int64_t n, bool nan_rows)
{
    double max = -INFINITY, sum = 0;

    for (int64_t j = 0; j < n; j++)
        max = x[j] > max ? x[j] : max;
    for (int64_t j = 0; j < n; j++) {
        if (x[j] == -INFINITY && max == -INFINITY && !nan_rows)
            x[j] = 0;
        else
            x[j] = exp(x[j] - max);
        sum += x[j];
    }
    for (int64_t j = 0; j < n; j++)
        x[j] = sum > 0 || isnan(sum) ? x[j] / sum : x[j];
}

static void attend(const Run *r, int64_t b, int64_t h, int64_t i)
{
    const Attn *a = &r->a;
    int64_t row = (b * a->heads + h) * a->q_len + i;
    int64_t kv = (b * a->kv_heads + h / a->group) * a->total;
    const double *q = r->q + b * a->q.b + h * a->q.h + i * a->q.t;
    double *y = r->y + b * a->y.b + h * a->y.h + i * a->y.t;
    double *s = r->score;
    bool any;

    for (int64_t j = 0; j < a->total; j++) {
        const double *k = r->k + (kv + j) * a->dk;
        double sum = 0;
        for (int64_t d = 0; d < a->dk; d++)
            sum += q[d] * k[d];
        s[j] = sum * (double)a->scale;
    }
    keep(r, 0, row);
    for (int64_t j = 0; a->softcap > 0 && j < a->total; j++)
        s[j] = (double)a->softcap * tanh(s[j] / (double)a->softcap);
    keep(r, 1, row);
    any = fill_bias(r, b, h, i);
    for (int64_t j = 0; j < a->total; j++)
        s[j] += r->bias[j];
    keep(r, 2, row);
    if (any || a->nan_rows)
        softmax(s, a->total, a->nan_rows);
    else
        memset(s, 0, (size_t)a->total * sizeof *s);
    keep(r, 3, row);
    for (int64_t j = 0; j < a->total; j++)
        for (int64_t d = 0; s[j] != 0 && d < a->dv; d++)
            y[d] += s[j] * r->v[(kv + j) * a->dv + d];
}

bool eval_attention(const Node *n, const Tensor *const *in,
                    Tensor *const *out, Arena *s, Diag *diag)
{
    Tensor *qk = tensor_out(n, out, ATTN_QK);
    const Attn *a;
    Run r = { 0 };

    (void)diag;
    if (!attn_read(n, &r.a))
        return false;
    a = &r.a;
    r.mask = tensor_in(n, in, ATTN_MASK);
    r.lens = tensor_in(n, in, ATTN_LENS);
    r.q = real_load(in[ATTN_Q], s);
    r.k = join(a, tensor_in(n, in, ATTN_PAST_K), in[ATTN_K], a->k, a->dk, s);
    r.v = join(a, tensor_in(n, in, ATTN_PAST_V), in[ATTN_V], a->v, a->dv, s);
    r.y = NEW_ARRAY(s, double, a->batch * a->heads * a->q_len * a->dv);
    if (qk)
        r.qk = NEW_ARRAY(s, double,
                         a->batch * a->heads * a->q_len * a->total);
    r.score = NEW_ARRAY(s, double, a->total);
    r.bias = NEW_ARRAY(s, double, a->total);
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = 0; i < a->q_len; i++)
                attend(&r, b, h, i);
    real_store(tensor_out(n, out, ATTN_Y), r.y);
    real_store(tensor_out(n, out, ATTN_PRESENT_K), r.k);
    real_store(tensor_out(n, out, ATTN_PRESENT_V), r.v);
    real_store(qk, r.qk);
    return true;
}
