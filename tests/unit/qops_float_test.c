/* qops_float_test.c - how far integer ops are from floats: codes of the
 * interpreter against the same node on dequantized operands in double,
 * rounded once to codes. MCUFC_SHOW=1 prints the figures of doc/integers.md.
 */
#include "layers.h"

#include "../../ir/ops/qnorm.h"

static void walk_backwards(Graph *g)
{
    (void)g;                    /* nothing is generated here */
}

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
    Suite *s = suite_create("integers and floats");
    TCase *t = tcase_create("distance");

    tcase_set_timeout(t, 600);
    tcase_add_test(t, softmax_is_within_one_code);
    tcase_add_loop_test(t, normalization_is_within_one_code, 0, 3);
    tcase_add_test(t, attention_is_within_one_code);
    tcase_add_loop_test(t, sums_and_products_are_within_one_code, 0, 2);
    tcase_add_test(t, reciprocal_roots_are_within_their_bound);
    suite_add_tcase(s, t);
    return test_main(s);
}
