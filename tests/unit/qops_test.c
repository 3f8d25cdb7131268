/* qops_test.c - random layers of the integer ops that work element by element
 * or row by row, generated C against the interpreter: 8 and 16 bits mixed,
 * scales and zero points at their ends, saturation, odd sizes, broadcasting,
 * in place, backward walks, masks, shared heads, caches. And how far the
 * interpreter's codes are from floats.
 */
#include "layers.h"

#include "../../ir/ops/qnorm.h"

static DType any_code(Random *r)
{
    return one_in(r, 4) ? one_in(r, 3) ? DT_U16 : DT_I16 : code(r);
}

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
    q->a_scale = (float)scale(r, -20, 10);
    q->b_scale = q->a_scale * (float)scale(r, -spread, spread);
    q->a_zp = zero_of(r, a);
    q->b_zp = zero_of(r, b);
    q->output_dtype = result(r, (double)q->a_scale *
                             (op == OP_QMul ? (double)q->b_scale : 1),
                             (dtype_bits(a) - 1) * (op == OP_QMul ? 2 : 1),
                             &q->y_scale, &q->y_zp, &q->lo, &q->hi);
    if (one_in(r, 3) && !q->lo && !q->hi) {
        q->output_dtype = 0;    /* as a: may be in place */
        q->y_zp = zero_of(r, a);
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

    q->x_scale = (float)scale(r, -20, 10);
    q->x_zp = zero_of(r, dt);
    q->output_dtype = result(r, (double)q->x_scale, dtype_bits(dt) - 1,
                             &q->y_scale, &q->y_zp, &q->lo, &q->hi);
    return n;
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
    q->x_scale = (float)scale(r, one_in(r, 5) ? -20 : -8, 3);
    q->output_dtype = result(r, 1, 0, &q->y_scale, &q->y_zp, &q->lo, &q->hi);
    return n;
}

static Value *floats(Random *r, int64_t n, int lo, int hi)
{
    float *x = NEW_ARRAY(r->g->arena, float, n + 1);

    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(one_in(r, 20) ? 0 : one_in(r, 2)
                       ? scale(r, lo, hi) : -scale(r, lo, hi));
    return graph_const(r->g, "f", type_vector(DT_F32, n), x);
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
    q->x_scale = (float)scale(r, one_in(r, 6) ? -20 : -8, 4);
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
    q->v_scale = (float)scale(r, -10, 4);
    q->scale = one_in(r, 2) ? 0 : (float)scale(r, -5, 1);
    q->q_zp = zero_point(r, in[0]->type.dt);
    q->k_zp = zero_point(r, k);
    q->v_zp = zero_point(r, v);
    q->output_dtype = result(r, (double)q->v_scale, 7, &q->y_scale, &q->y_zp,
                             &q->lo, &q->hi);
    return n;
}

static const Kind kinds[] = {
    { "sum", make_add },
    { "product of codes", make_mul },
    { "requantization", make_requantize },
    { "lookup", make_lookup },
    { "softmax", make_softmax },
    { "normalization", make_norm },
    { "attention", make_attention },
};

#include "layers_run.h"

/* How far from floats: codes of the interpreter against the same node on
 * dequantized operands in double, rounded once to codes. */

typedef struct Distance {
    int64_t count, off, far;    /* codes; off by one; by more */
    double worst;               /* from the exact value, in codes */
} Distance;

static void measure(Distance *d, const Tensor *t, int64_t i, double exact,
                    double scale_, int64_t zero)
{
    int64_t lo = least(t->type.dt), hi = most(t->type.dt);
    double real = exact / scale_ + (double)zero, got;
    int64_t want;

    real = real < (double)lo ? (double)lo : real > (double)hi ? (double)hi
                                                              : real;
    want = (int64_t)floor(real + 0.5);
    got = elem_get(t->type.dt, t->data, i);
    d->count++;
    d->off += fabs(got - (double)want) > 0.5;
    d->far += fabs(got - (double)want) > 1.5;
    if (fabs(got - real) > d->worst)
        d->worst = fabs(got - real);
}

/* at most `part` of the codes are more than one off */
static void check_distance(const Distance *d, double part, const char *what)
{
    if (getenv("MCUFC_SHOW"))
        printf("%s: %lld codes, %.4f %% differ, %.4f %% by more than 1, "
               "worst %.3f\n", what, (long long)d->count,
               100.0 * (double)d->off / (double)d->count,
               100.0 * (double)d->far / (double)d->count, d->worst);
    ck_assert_int_gt(d->count, 10000);
    ck_assert_msg((double)d->far <= part * (double)d->count,
                  "%s: %lld of %lld codes are more than 1 off, worst %g",
                  what, (long long)d->far, (long long)d->count, d->worst);
}

typedef struct Lab {            /* a graph of one node */
    Fixture f;
    Random r;
} Lab;

static void lab_open(Lab *l, uint64_t seed)
{
    fixture_open(&l->f);
    memset(&l->r, 0, sizeof l->r);
    l->r.state = seed;
    l->r.g = graph_new(l->f.arena, l->f.scratch, &l->f.diag);
}

static Tensor lab_run(Lab *l, Node *n)
{
    Tensor y;

    ck_assert_msg(node_infer(l->r.g, n), "%s",
                  (fflush(l->f.diag.out), l->f.text));
    graph_append(l->r.g, n);
    graph_add_output(l->r.g, n->out[0]);
    ck_assert(graph_eval(l->r.g, l->r.in, &y, l->f.arena, NULL, NULL));
    return y;
}

/* about normal: the sum of a few uniform numbers, deviation 1 */
static double normal(Random *r)
{
    double x = 0;

    for (int i = 0; i < 12; i++)
        x += below(r, 1 << 20) / (double)(1 << 20);
    return x - 6;
}

static int64_t to_code(double x, double scale_, int64_t zero, DType dt)
{
    double c = floor(x / scale_ + 0.5) + (double)zero;

    return c < least(dt) ? least(dt) : c > most(dt) ? most(dt) : (int64_t)c;
}

/* the number that code i of an input stands for */
static double real_of(const Tensor *t, int64_t i, double scale_, int64_t zero)
{
    return scale_ * (elem_get(t->type.dt, t->data, i) - (double)zero);
}

static void softmax_distance(Lab *l, Distance *d, int64_t len)
{
    Value *x = input(&l->r, (Type){ code(&l->r), 2, { 16, len } });
    Tensor *t = &l->r.in[0];
    Node *n = node(&l->r, OP_QSoftmax, 1, &x);
    Attr_qsoftmax *q = n->attr;
    double s = scale(&l->r, -6, -2), sum, top;
    Tensor y;

    for (int64_t i = 0; i < 16 * len && one_in(&l->r, 2); i++)
        elem_set_int(t->type.dt, t->data, i,
                     to_code(normal(&l->r) * 3, s, 0, t->type.dt));
    q->x_scale = (float)s;
    q->output_dtype = one_in(&l->r, 2) ? DT_I8 : DT_U8;
    q->y_zp = q->output_dtype == DT_I8 ? -128 : 0;
    q->y_scale = one_in(&l->r, 2) ? 1 / 256.0f : (float)scale(&l->r, -12, -7);
    y = lab_run(l, n);
    for (int64_t row = 0; row < 16; row++) {
        sum = 0;
        top = -1e9;
        for (int64_t i = row * len; i < row * len + len; i++)
            top = fmax(top, elem_get(t->type.dt, t->data, i));
        for (int64_t i = row * len; i < row * len + len; i++)
            sum += exp((double)q->x_scale *
                       (elem_get(t->type.dt, t->data, i) - top));
        for (int64_t i = row * len; i < row * len + len; i++)
            measure(d, &y, i, exp((double)q->x_scale *
                    (elem_get(t->type.dt, t->data, i) - top)) / sum,
                    (double)q->y_scale, q->y_zp);
    }
}

START_TEST(softmax_is_within_one_code)
{
    Distance d = { 0 };
    static Lab l;

    for (uint64_t seed = 1; seed <= 120; seed++) {
        lab_open(&l, seed);
        softmax_distance(&l, &d, 1 + (int64_t)(seed * seed * 7 % 1100));
        fixture_close(&l.f);
    }
    check_distance(&d, 0, "softmax");
}
END_TEST

/* Rows around 0; some channels 30 times as large; or hardly any variance. */
static void norm_codes(Random *r, Tensor *t, int64_t len, int way, double s,
                       int64_t zero)
{
    int64_t n = type_elems(&t->type);

    for (int64_t i = 0; i < n; i++) {
        double x = normal(r);
        if (way == 1 && i % len % 37 == 5)
            x *= 30;
        if (way == 2)
            x = 40 * s + 0.6 * s * x;
        elem_set_int(t->type.dt, t->data, i,
                     to_code(x, s, zero, t->type.dt));
    }
}

static void norm_distance(Lab *l, Distance *d, int way, DType dt, bool rms)
{
    int64_t len = between(&l->r, 24, 768), rows = 8;
    Value *in[3] = { input(&l->r, (Type){ dt, 2, { rows, len } }),
                     floats(&l->r, len, -1, 0), floats(&l->r, len, -3, 0) };
    Tensor *t = &l->r.in[0], y;
    Node *n = node(&l->r, OP_QLayerNorm, 3, in);
    const float *g = in[1]->data, *b = in[2]->data;
    Attr_qlayernorm *q = n->attr;
    double s = (way == 1 ? 90.0 : 4.0) / (dt == DT_I16 ? 32767 : 127);

    q->rms = rms;
    q->x_scale = (float)s;
    q->x_zp = dt == DT_U8 ? 128 : dt == DT_I8 ? -3 : 0;
    q->output_dtype = one_in(&l->r, 4) ? DT_I16 : DT_I8;
    q->y_scale = (float)((way == 1 ? 12.0 : 5.0) /
                         (q->output_dtype == DT_I16 ? 32767 : 127));
    q->y_zp = q->output_dtype == DT_I16 ? 0 : 7;
    norm_codes(&l->r, t, len, way, s, q->x_zp);
    y = lab_run(l, n);
    for (int64_t row = 0; row < rows; row++) {
        double mean = 0, var = 0;
        for (int64_t i = 0; i < len; i++)
            mean += real_of(t, row * len + i, (double)q->x_scale, q->x_zp);
        mean = rms ? 0 : mean / (double)len;
        for (int64_t i = 0; i < len; i++) {
            double x = real_of(t, row * len + i, (double)q->x_scale,
                               q->x_zp) - mean;
            var += x * x / (double)len;
        }
        for (int64_t i = 0; i < len; i++) {
            double x = real_of(t, row * len + i, (double)q->x_scale,
                               q->x_zp) - mean;
            measure(d, &y, row * len + i, x / sqrt(var +
                    (double)q->epsilon) * (double)g[i] + (double)b[i],
                    (double)q->y_scale, q->y_zp);
        }
    }
}

START_TEST(normalization_is_within_one_code)
{
    static const char *const name[3] = { "normalization",
        "normalization, channels that stick out",
        "normalization, little variance" };
    static const DType types[] = { DT_I8, DT_U8, DT_I16 };
    Distance d = { 0 };
    static Lab l;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        lab_open(&l, seed);
        norm_distance(&l, &d, _i, types[seed % 3], seed % 4 == 0);
        fixture_close(&l.f);
    }
    check_distance(&d, 0.001, name[_i]);
}
END_TEST

static void fill_normal(Random *r, Tensor *t, double s, int64_t zero,
                        double size)
{
    int64_t n = type_elems(&t->type);

    for (int64_t i = 0; i < n; i++)
        elem_set_int(t->type.dt, t->data, i,
                     to_code(normal(r) * size, s, zero, t->type.dt));
}

static void attention_row(const Lab *l, const Attr_qattention *q,
                          int64_t keys, int64_t size, int64_t i, double *y)
{
    const Tensor *in = l->r.in;
    double *p = NEW_ARRAY(l->f.scratch, double, keys), sum = 0, top = -1e9;

    for (int64_t j = 0; j < keys; j++) {
        for (int64_t k = 0; k < size; k++)
            p[j] += real_of(&in[0], i * size + k, (double)q->q_scale,
                            q->q_zp) *
                    real_of(&in[1], j * size + k, (double)q->k_scale,
                            q->k_zp) / sqrt((double)size);
        top = fmax(top, p[j]);
    }
    for (int64_t j = 0; j < keys; j++)
        sum += p[j] = exp(p[j] - top);
    for (int64_t k = 0; k < size; k++) {
        y[k] = 0;
        for (int64_t j = 0; j < keys; j++)
            y[k] += p[j] / sum * real_of(&in[2], j * size + k,
                                         (double)q->v_scale, q->v_zp);
    }
}

/* size of scores: small (all keys count) to large (one key does) */
static void attention_distance(Lab *l, Distance *d, double size_of_q,
                               DType out)
{
    int64_t keys = between(&l->r, 3, 400), queries = 6, size = 32;
    Value *in[3];
    Attr_qattention *q;
    double y[32];
    Tensor got;
    Node *n;

    for (int i = 0; i < 3; i++)
        in[i] = input(&l->r, (Type){ i ? DT_I8 : DT_U8, 3,
                                     { 1, i ? keys : queries, size } });
    n = node(&l->r, OP_QAttention, 3, in);
    q = n->attr;
    q->q_num_heads = q->kv_num_heads = 1;
    q->q_scale = (float)(size_of_q * 4 / 127);
    q->k_scale = q->v_scale = 4 / 127.0f;
    q->q_zp = 130;
    q->k_zp = -5;
    q->v_zp = 9;
    fill_normal(&l->r, &l->r.in[0], (double)q->q_scale, 130, size_of_q);
    fill_normal(&l->r, &l->r.in[1], (double)q->k_scale, -5, 1);
    fill_normal(&l->r, &l->r.in[2], (double)q->v_scale, 9, 1);
    q->output_dtype = out;
    q->y_scale = out == DT_I16 ? 4 / 32767.0f : 2 / 127.0f;
    q->y_zp = out == DT_I16 ? 0 : -4;
    got = lab_run(l, n);
    for (int64_t i = 0; i < queries; i++) {
        attention_row(l, q, keys, size, i, y);
        for (int64_t k = 0; k < size; k++)
            measure(d, &got, i * size + k, y[k], (double)q->y_scale,
                    q->y_zp);
    }
}

START_TEST(attention_is_within_one_code)
{
    Distance d = { 0 };
    static Lab l;

    for (uint64_t seed = 1; seed <= 150; seed++) {
        lab_open(&l, seed);
        attention_distance(&l, &d, ldexp(1, (int)(seed % 6) - 3), DT_I8);
        fixture_close(&l.f);
    }
    check_distance(&d, 0.001, "attention");
}
END_TEST

/* Both factors exact, one rounding: never more than one code. */
static void two_distance(Lab *l, Distance *d, bool product)
{
    static const DType types[] = { DT_I8, DT_U8, DT_I16 };
    DType dt = types[below(&l->r, 3)], du = types[below(&l->r, 3)];
    Value *in[2] = { input(&l->r, type_vector(dt, 500)),
                     input(&l->r, type_vector(du, 500)) };
    Node *n = node(&l->r, product ? OP_QMul : OP_QAdd, 2, in);
    Attr_qbinary *q = n->attr;
    double a, b;
    Tensor y;

    q->a_scale = (float)(scale(&l->r, 0, 1) / most(dt));
    q->b_scale = (float)(scale(&l->r, -2, 2) / most(du));
    q->a_zp = dt == DT_I16 ? 0 : zero_point(&l->r, dt);
    q->b_zp = du == DT_I16 ? 0 : zero_point(&l->r, du);
    q->output_dtype = types[below(&l->r, 3)];
    q->y_scale = (float)(scale(&l->r, 0, 2) / most((DType)q->output_dtype));
    q->y_zp = q->output_dtype == DT_I16 ? 0
              : zero_point(&l->r, (DType)q->output_dtype);
    y = lab_run(l, n);
    for (int64_t i = 0; i < 500; i++) {
        a = real_of(&l->r.in[0], i, (double)q->a_scale, q->a_zp);
        b = real_of(&l->r.in[1], i, (double)q->b_scale, q->b_zp);
        measure(d, &y, i, product ? a * b : a + b, (double)q->y_scale,
                q->y_zp);
    }
}

START_TEST(sums_and_products_are_within_one_code)
{
    Distance d = { 0 };
    static Lab l;

    for (uint64_t seed = 1; seed <= 100; seed++) {
        lab_open(&l, seed);
        two_distance(&l, &d, _i);
        fixture_close(&l.f);
    }
    check_distance(&d, 0, _i ? "products" : "sums");
}
END_TEST

/* ir/ops/qnorm.h says within 1e-8 */
START_TEST(reciprocal_roots_are_within_their_bound)
{
    Random r = { .state = 1 };

    for (int i = 0; i < 2000000; i++) {
        uint64_t d = (uint64_t)(below(&r, 1 << 30)) << 32 |
                     (uint64_t)(below(&r, 1 << 30)) << 2;
        double exact, got;
        d |= (uint64_t)(1 + below(&r, 3)) << 62;
        if (i < 300)            /* both ends */
            d = i & 1 ? ((uint64_t)1 << 62) + ((uint64_t)i << 30)
                      : UINT64_MAX - ((uint64_t)i << 30);
        exact = 4611686018427387904.0 / sqrt((double)d);
        got = (double)qnorm_rsqrt(d);
        ck_assert_msg(fabs(got / exact - 1) < 1e-8, "1 / sqrt(%llu)",
                      (unsigned long long)d);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("integer rows");
    TCase *t = tcase_create("random");

    tcase_set_timeout(t, 7200);
    tcase_add_loop_test(t, generated_layers_are_equal, 0, NKIND);
    tcase_add_test(t, softmax_is_within_one_code);
    tcase_add_loop_test(t, normalization_is_within_one_code, 0, 3);
    tcase_add_test(t, attention_is_within_one_code);
    tcase_add_loop_test(t, sums_and_products_are_within_one_code, 0, 2);
    tcase_add_test(t, reciprocal_roots_are_within_their_bound);
    suite_add_tcase(s, t);
    return test_main(s);
}
