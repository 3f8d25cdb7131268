/* qops_test.c - random layers of the integer ops that work element by element
 * or row by row, generated C against the interpreter: 8 and 16 bits mixed,
 * scales and zero points at their ends, saturation, odd sizes, broadcasting,
 * in place, backward walks, masks, shared heads, caches.
 */
#include "layers.h"

/* Mostly middling zero points for 16 bits: others often do not fit. */
static int64_t zero_of(Random *r, DType dt)
{
    return dtype_bits(dt) > 8 && !one_in(r, 4) ? dt == DT_I16 ? 0 : 32768
                                               : zero_point(r, dt);
}

static Type shape(Random *r, DType dt)
{
    Type t = { dt, between(r, 1, 4), { 0 } };

    for (int i = 0; i < t.rank; i++)
        t.dim[i] = between(r, 1, 5);
    if (one_in(r, 2))
        t.dim[t.rank - 1] = between(r, 1, 140);
    return t;
}

/* t with some dims 1, some leading ones gone */
static Type part(Random *r, Type t)
{
    int drop = below(r, t.rank);

    if (one_in(r, 2))
        return t;
    for (int i = 0; i < t.rank - drop; i++)
        t.dim[i] = one_in(r, 2) ? 1 : t.dim[i + drop];
    t.rank -= drop;
    return t;
}

static Value *operand(Random *r, Type t)
{
    return one_in(r, 5) ? constant(r, t) : input(r, t);
}

static Node *make_two(Random *r, Op op)
{
    DType a = any_code(r), b = one_in(r, 2) ? a : any_code(r);
    Type t = shape(r, a), u = t;
    Attr_qbinary *q;
    Value *in[2];
    Node *n;
    int spread = one_in(r, 8) ? 20 : 4;

    u.dt = b;
    if (one_in(r, 3))
        u = part(r, u);
    else if (one_in(r, 4))
        t = part(r, t);
    in[0] = operand(r, t);
    in[1] = value_is_const(in[0]) ? input(r, u) : operand(r, u);
    n = node(r, op, 2, in);
    q = n->attr;
    q->a_scale = code_scale(r, -20, 10);
    q->b_scale = q->a_scale * (float)scale(r, -spread, spread);
    q->a_zp = zero_of(r, a);
    q->b_zp = zero_of(r, b);
    q->output_dtype = result(r, (double)q->a_scale *
                             (op == OP_QMul ? (double)q->b_scale : 1),
                             (dtype_bits(a) - 1) * (op == OP_QMul ? 2 : 1),
                             &q->y_scale, &q->y_zp, &q->lo, &q->hi);
    if (one_in(r, 3)) {         /* as a: may be in place */
        q->output_dtype = 0;
        q->y_zp = zero_of(r, a);
        q->lo = INT64_MIN;
        q->hi = INT64_MAX;
    }
    return n;
}

static Node *make_add(Random *r)
{
    return make_two(r, OP_QAdd);
}

static Node *make_mul(Random *r)
{
    return make_two(r, OP_QMul);
}

static Node *make_requantize(Random *r)
{
    DType dt = any_code(r);
    Value *x = input(r, shape(r, dt));
    Node *n = node(r, OP_QRequantize, 1, &x);
    Attr_qrequantize *q = n->attr;

    q->x_scale = code_scale(r, -20, 10);
    q->x_zp = zero_of(r, dt);
    q->output_dtype = result(r, (double)q->x_scale, dtype_bits(dt) - 1,
                             &q->y_scale, &q->y_zp, &q->lo, &q->hi);
    return n;
}

/* a mean of up to `count` codes: its sum, less than `most` around 0 */
static Node *make_mean_of_sums(Random *r)
{
    Type t = shape(r, DT_I32);
    int64_t n = type_elems(&t);
    Value *x = input(r, t);
    int32_t *sum = r->in[r->g->nin - 1].data;
    Node *y = node(r, OP_QRequantize, 1, &x);
    Attr_qrequantize *q = y->attr;
    int reach = between(r, 1, 255), way = below(r, 4);

    q->count = one_in(r, 4) ? between(r, 1, 1 << 22) : between(r, 1, 2000);
    q->most = q->count * reach;
    for (int64_t i = 0; i < n; i++)
        sum[i] = way == 0   ? one_in(r, 2) ? (int32_t)q->most
                                           : -(int32_t)q->most
                 : way == 1 ? between(r, -9, 9)
                            : between(r, (int)-q->most, (int)q->most);
    q->x_scale = code_scale(r, -20, 10);
    q->output_dtype = result(r, (double)q->x_scale, log2_of(reach),
                             &q->y_scale, &q->y_zp, &q->lo, &q->hi);
    return y;
}

static Node *make_lookup(Random *r)
{
    Value *in[2] = { input(r, shape(r, code(r))), NULL };

    in[1] = constant(r, type_vector(any_code(r), 256));
    return node(r, OP_QLookup, 2, in);
}

static Node *make_softmax(Random *r)
{
    Type t = shape(r, code(r));
    Attr_qsoftmax *q;
    Value *x;
    Node *n;

    if (one_in(r, 10))
        t.dim[t.rank - 1] = between(r, 500, 3000);
    x = input(r, t);
    n = node(r, OP_QSoftmax, 1, &x);
    q = n->attr;
    q->x_scale = code_scale(r, one_in(r, 5) ? -20 : -8, 3);
    q->output_dtype = result(r, 1, 0, &q->y_scale, &q->y_zp, &q->lo, &q->hi);
    return n;
}

static Node *make_norm(Random *r)
{
    static const float epsilons[] = { 0, 1e-12f, 1e-5f, 1e-3f, 10 };
    Type t = shape(r, any_code(r));
    int axis = one_in(r, 3) ? below(r, t.rank) : t.rank - 1;
    Attr_qlayernorm *q;
    Value *in[3];
    int64_t len;
    Node *n;

    if (one_in(r, 8))
        t.dim[t.rank - 1] = between(r, 300, 1100);
    len = type_span(&t, axis, t.rank);
    in[0] = input(r, t);
    in[1] = floats(r, one_in(r, 6) ? 1 : len, -3, one_in(r, 4) ? 6 : 1);
    in[2] = one_in(r, 3) ? NULL : floats(r, one_in(r, 6) ? 1 : len, -4, 3);
    n = node(r, OP_QLayerNorm, 3, in);
    q = n->attr;
    q->axis = one_in(r, 2) ? axis : axis - t.rank;
    q->rms = one_in(r, 2);
    q->epsilon = epsilons[below(r, 5)];
    q->x_scale = code_scale(r, one_in(r, 6) ? -20 : -8, 4);
    q->x_zp = zero_of(r, t.dt);
    q->output_dtype = result(r, 1, 2, &q->y_scale, &q->y_zp, &q->lo, &q->hi);
    return n;
}

/* Attention's operands: [batch, token, heads * size], or heads apart. */
typedef struct Heads {
    int64_t batch, heads, kv, queries, keys, past, dk, dv;
    bool apart;
} Heads;

static Type tokens(const Heads *h, DType dt, int64_t heads, int64_t len,
                   int64_t size)
{
    return h->apart ? (Type){ dt, 4, { h->batch, heads, len, size } }
                    : (Type){ dt, 3, { h->batch, len, heads * size } };
}

/* bool or codes, constant or not; or constant floats, few or many */
static Value *mask(Random *r, const Heads *h, Attr_qattention *q)
{
    int64_t total = h->keys + h->past;
    int64_t dim[4] = { one_in(r, 2) ? 1 : h->batch,
                       one_in(r, 2) ? 1 : h->heads,
                       one_in(r, 3) ? 1 : h->queries,
                       one_in(r, 8) ? between(r, 1, (int)total) : total };
    int rank = between(r, 1, 4), way = below(r, 5);
    Type t = type_make(way < 2 ? DT_BOOL : way == 2 ? code(r) : DT_F32, rank,
                       dim + 4 - rank);
    int64_t n = type_elems(&t);
    float *f;

    q->mask_scale = (float)scale(r, -8, 2);
    if (way == 2)
        q->mask_zp = zero_point(r, t.dt);
    if (way < 3) {
        Value *v = one_in(r, 2) ? input(r, t) : constant(r, t);
        uint8_t *p = v->data ? (uint8_t *)(uintptr_t)v->data
                             : r->in[r->g->nin - 1].data;
        for (int64_t i = 0; way < 2 && i < n; i++)
            p[i] = (uint8_t)!one_in(r, 3);
        return v;
    }
    f = NEW_ARRAY(r->g->arena, float, n);
    for (int64_t i = 0; i < n; i++)
        f[i] = way == 3 ? one_in(r, 3) ? -INFINITY : one_in(r, 3) ? -1e4f : 0
                        : (float)below(r, 1000) * 0.003f;
    return graph_const(r->g, "m", t, f);
}

static Node *make_attention(Random *r)
{
    static const int sizes[] = { 1, 3, 8, 16, 17, 32, 64 };
    Heads h = { between(r, 1, 2), 1, between(r, 1, 3), between(r, 1, 20),
                between(r, 1, 40), 0, sizes[below(r, 7)], sizes[below(r, 7)],
                one_in(r, 2) };
    bool cache = one_in(r, 3);
    DType k = code(r), v = code(r);
    Value *in[6] = { NULL };
    Attr_qattention *q;
    Node *n;

    h.heads = h.kv * between(r, 1, 3);
    if (cache)
        h.past = between(r, 0, 30);
    if (one_in(r, 15))
        h.keys = between(r, 250, 420);          /* weights are halved */
    in[0] = input(r, tokens(&h, code(r), h.heads, h.queries, h.dk));
    in[1] = input(r, tokens(&h, k, h.kv, h.keys, h.dk));
    in[2] = input(r, tokens(&h, v, h.kv, h.keys, h.dv));
    if (cache) {
        in[4] = input(r, (Type){ k, 4, { h.batch, h.kv, h.past, h.dk } });
        in[5] = input(r, (Type){ v, 4, { h.batch, h.kv, h.past, h.dv } });
    }
    n = node_new(r->g, OP_QAttention, "QAttention", cache ? 6 : 4, in,
                 cache && one_in(r, 2) ? 3 : 1);
    q = n->attr;
    if (one_in(r, 2))
        node_set_input(n, 3, mask(r, &h, q));
    q->q_num_heads = h.heads;
    q->kv_num_heads = h.kv;
    q->is_causal = one_in(r, 3);
    q->left_window_size = one_in(r, 5) ? below(r, 30) : -1;
    q->right_window_size = one_in(r, 8) ? below(r, 20) : -1;
    q->q_scale = (float)scale(r, one_in(r, 8) ? -20 : -7, -2);
    q->k_scale = (float)scale(r, -7, one_in(r, 8) ? 8 : -2);
    q->v_scale = code_scale(r, -10, 4);
    q->scale = one_in(r, 2) ? 0 : (float)scale(r, -5, 1);
    q->q_zp = zero_point(r, in[0]->type.dt);
    q->k_zp = zero_point(r, k);
    q->v_zp = zero_point(r, v);
    q->output_dtype = result(r, (double)q->v_scale, 7, &q->y_scale, &q->y_zp,
                             &q->lo, &q->hi);
    return n;
}

static const Kind kinds[] = {
    { "sum", make_add, false },
    { "product of codes", make_mul, false },
    { "requantization", make_requantize, false },
    { "requantization of sums", make_mean_of_sums, false },
    { "lookup", make_lookup, false },
    { "softmax", make_softmax, false },
    { "normalization", make_norm, false },
    { "attention", make_attention, false },
};

#include "layers_run.h"

int main(void)
{
    Suite *s = suite_create("integer rows");
    TCase *t = tcase_create("random");

    tcase_set_timeout(t, 7200);
    tcase_add_loop_test(t, generated_layers_are_equal, 0, NKIND);
    suite_add_tcase(s, t);
    return test_main(s);
}
