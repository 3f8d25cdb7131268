/* qproduct_test.c - random layers of QConv, QMatMul and the integer pools:
 * generated C against the interpreter, equal in every bit. Scales and zero
 * points at their ends, saturation, odd sizes, groups, depthwise, strides,
 * dilations, padding, planar images, uint8 and int8 mixed, int4 weights,
 * scales per group, run-time operands, backward walks, clamps.
 *
 * MCUFC_LAYERS=N runs N layers of each kind instead of 40.
 */
#include "../../ir/ir.h"

static const char *build_flags;
static void walk_backwards(Graph *g);
#define GENERATED_FLAGS build_flags
#define GENERATED_PLANNED(g) walk_backwards(g)
#include "generated.h"

enum { LAYERS = 40, PER_GRAPH = 500 };

typedef struct Random {
    Graph *g;
    uint64_t state;
    Tensor in[2 * PER_GRAPH];   /* data of g->in */
} Random;

static int below(Random *r, int n)
{
    r->state = r->state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (int)((r->state >> 33) % (uint64_t)n);
}

static bool one_in(Random *r, int n)
{
    return below(r, n) == 0;
}

static int between(Random *r, int lo, int hi)
{
    return lo + below(r, hi - lo + 1);
}

static DType code(Random *r)
{
    return one_in(r, 2) ? DT_I8 : DT_U8;
}

static int least(DType dt)
{
    return dt == DT_I8 ? -128 : dt == DT_I4 ? -8 : dt == DT_I16 ? -32768 : 0;
}

static int most(DType dt)
{
    return dt == DT_I8 ? 127 : dt == DT_U8 ? 255 : dt == DT_I4 ? 7 : 32767;
}

/* All over the range, at its ends only, near one number, or all alike. */
static void *codes(Random *r, const Type *t)
{
    int64_t n = type_elems(t);
    int lo = least(t->dt), hi = most(t->dt), way = below(r, 8);
    void *p = arena_alloc(r->g->arena, (size_t)type_bytes(t) + 16);
    int at = between(r, lo, hi - 3);

    for (int64_t i = 0; i < n; i++)
        elem_set_int(t->dt, p, i, way == 0   ? one_in(r, 2) ? lo : hi
                                  : way == 1 ? at + below(r, 4)
                                  : way == 2 ? at
                                             : between(r, lo, hi));
    return p;
}

static Value *input(Random *r, Type t)
{
    Value *v = graph_value(r->g, "x", t);

    graph_add_input(r->g, v);
    r->in[r->g->nin - 1] = (Tensor){ t, codes(r, &t) };
    return v;
}

static Value *constant(Random *r, Type t)
{
    return graph_const(r->g, "w", t, codes(r, &t));
}

/* 2^lo .. 2^hi */
static double scale(Random *r, int lo, int hi)
{
    return ldexp(1 + below(r, 1000) * 1e-3, between(r, lo, hi));
}

static Value *scales(Random *r, int rank, int64_t n, int64_t groups)
{
    int64_t dim[2] = { n, groups };
    Type t = type_make(DT_F32, rank, dim);
    float *s = NEW_ARRAY(r->g->arena, float, n * groups);
    int base = between(r, -12, 4), spread = one_in(r, 4) ? 12 : 2;

    for (int64_t i = 0; i < n * groups; i++)
        s[i] = (float)scale(r, base - spread, base);
    return graph_const(r->g, "s", t, s);
}

static Value *bias(Random *r, int64_t n)
{
    int32_t *b = NEW_ARRAY(r->g->arena, int32_t, n);
    int bits = between(r, 1, 24);

    if (one_in(r, 3))
        return NULL;
    for (int64_t i = 0; i < n; i++)
        b[i] = between(r, -(1 << bits), 1 << bits);
    return graph_const(r->g, "b", type_vector(DT_I32, n), b);
}

static int64_t zero_point(Random *r, DType dt)
{
    int way = below(r, 4);

    return way == 0   ? least(dt)
           : way == 1 ? most(dt)
           : way == 2 ? (least(dt) + most(dt) + 1) / 2
                      : between(r, least(dt), most(dt));
}

/* Parameters of the result, for sums around 2^bits at scale `unit`. */
static DType result(Random *r, double unit, int bits, float *y_scale,
                    int64_t *zp, int64_t *lo, int64_t *hi)
{
    DType dt = one_in(r, 8) ? DT_I16 : code(r);
    int range = dt == DT_I16 ? 15 : 7, off = between(r, -3, 3);

    if (one_in(r, 10))
        off = between(r, -20, 20);
    *y_scale = (float)(unit * scale(r, bits - range + off,
                                    bits - range + off));
    *zp = zero_point(r, dt);
    if (one_in(r, 4)) {
        *lo = between(r, least(dt), most(dt));
        *hi = between(r, (int)*lo, most(dt));
    }
    return dt;
}

static int log2_of(int64_t n)
{
    int bits = 0;

    while (n >> bits > 1)
        bits++;
    return bits;
}

static Ints list(Random *r, int n, const int64_t *v)
{
    Ints a = { n, NEW_ARRAY(r->g->arena, int64_t, n) };

    memcpy(a.v, v, (size_t)n * sizeof *v);
    return a;
}

static Node *node(Random *r, Op op, int nin, Value **in)
{
    while (nin && !in[nin - 1])
        nin--;
    return node_new(r->g, op, op_name(op), nin, in, 1);
}

/* One axis of a window: sizes that fit, with padding inside the window. */
typedef struct Axis {
    int64_t in, kernel, stride, dilation, pad, pad_end;
} Axis;

static Axis axis(Random *r, int kernel)
{
    Axis a = { 0, kernel, between(r, 1, 3), 1, 0, 0 };
    int64_t extent;

    if (one_in(r, 4))
        a.dilation = between(r, 2, 3);
    extent = (kernel - 1) * a.dilation + 1;
    if (one_in(r, 2)) {
        a.pad = below(r, (int)extent);
        a.pad_end = below(r, (int)extent);
    }
    a.in = extent - a.pad - a.pad_end;
    a.in = (a.in < 1 ? 1 : a.in) + below(r, 8);
    return a;
}

static void set_window(Random *r, const Axis *a, Ints *kernel, Ints *strides,
                       Ints *dilations, Ints *pads)
{
    *kernel = list(r, 2, (int64_t[]){ a[0].kernel, a[1].kernel });
    *strides = list(r, 2, (int64_t[]){ a[0].stride, a[1].stride });
    *dilations = list(r, 2, (int64_t[]){ a[0].dilation, a[1].dilation });
    *pads = list(r, 4, (int64_t[]){ a[0].pad, a[1].pad, a[0].pad_end,
                                    a[1].pad_end });
}

typedef struct Filter {
    int64_t group, cg, mg;
    int kernel;                 /* 1: pointwise */
    DType dt;
    bool whole;                 /* the window is the image */
} Filter;

static Node *make_conv(Random *r, const Filter *f)
{
    Axis a[2] = { axis(r, one_in(r, 6) ? 1 : f->kernel),
                  axis(r, f->kernel) };
    int64_t c = f->group * f->cg, m = f->group * f->mg, k;
    bool planar = one_in(r, 5);
    DType x = code(r);
    Value *in[4];
    Attr_qconv *q;
    Node *n;

    if (f->whole)
        for (int i = 0; i < 2; i++)
            a[i] = (Axis){ a[i].kernel, a[i].kernel, a[i].stride, 1, 0, 0 };
    k = f->cg * a[0].kernel * a[1].kernel;
    in[0] = input(r, planar
                  ? (Type){ x, 4, { between(r, 1, 2), c, a[0].in, a[1].in } }
                  : (Type){ x, 4, { between(r, 1, 2), a[0].in, a[1].in, c } });
    in[1] = constant(r, (Type){ f->dt, 4, { m, a[0].kernel, a[1].kernel,
                                            f->cg } });
    in[2] = scales(r, 1, one_in(r, 3) ? 1 : m, 1);
    in[3] = bias(r, m);
    n = node(r, OP_QConv, 4, in);
    q = n->attr;
    set_window(r, a, &q->kernel_shape, &q->strides, &q->dilations, &q->pads);
    q->group = f->group;
    q->planar = planar;
    q->x_scale = (float)scale(r, -20, 10);
    q->x_zp = zero_point(r, x);
    q->output_dtype = result(r, (double)q->x_scale *
                             (double)((const float *)in[2]->data)[0],
                             12 + log2_of(k) / 2, &q->y_scale, &q->y_zp,
                             &q->lo, &q->hi);
    return n;
}

static Node *make_conv8(Random *r)
{
    Filter f = { between(r, 1, 3), between(r, 1, 9), between(r, 1, 40),
                 between(r, 1, 4), DT_I8, one_in(r, 10) };

    if (one_in(r, 2))
        f.group = 1;
    return make_conv(r, &f);
}

static Node *make_conv4(Random *r)
{
    Filter f = { one_in(r, 3) ? 2 : 1, between(r, 1, 9), between(r, 1, 40),
                 between(r, 1, 4), DT_I4, one_in(r, 10) };

    return make_conv(r, &f);
}

static Node *make_depthwise(Random *r)
{
    Filter f = { between(r, 2, 80), 1, 1, between(r, 1, 5), DT_I8, false };

    if (one_in(r, 6))
        f.mg = 2;
    if (one_in(r, 6))
        f.dt = DT_I4;
    return make_conv(r, &f);
}

static Node *make_pointwise(Random *r)
{
    Filter f = { 1, between(r, 1, 70), between(r, 1, 70), 1,
                 one_in(r, 4) ? DT_I4 : DT_I8, false };

    return make_conv(r, &f);
}

static void matmul_numbers(Random *r, Node *n, int64_t k, double b_scale)
{
    Attr_qmatmul *q = n->attr;

    q->a_scale = (float)scale(r, -20, 10);
    q->a_zp = zero_point(r, n->in[0]->type.dt);
    q->output_dtype = result(r, (double)q->a_scale * b_scale,
                             12 + log2_of(k) / 2, &q->y_scale, &q->y_zp,
                             &q->lo, &q->hi);
}

static int64_t depth(Random *r)
{
    return one_in(r, 12) ? between(r, 700, 900) : between(r, 1, 150);
}

static Node *make_weights(Random *r, DType dt, bool grouped)
{
    int64_t k = depth(r), m = between(r, 1, 75), groups = 1, dim[3];
    int rank = between(r, 1, 3);
    Value *in[4];
    Node *n;

    if (grouped) {
        groups = between(r, 2, 9);
        k = groups * between(r, 1, 40);
    }
    for (int i = 0; i < rank; i++)
        dim[i] = between(r, 1, 9);
    dim[rank - 1] = k;
    in[0] = input(r, type_make(code(r), rank, dim));
    in[1] = constant(r, (Type){ dt, 2, { m, k } });
    in[2] = groups > 1     ? scales(r, 2, m, groups)
            : one_in(r, 3) ? scales(r, 1, 1, 1)
                           : scales(r, 1, m, 1);
    in[3] = bias(r, m);
    n = node(r, OP_QMatMul, 4, in);
    ATTRS(qmatmul, n)->transB = 1;
    matmul_numbers(r, n, k, (double)((const float *)in[2]->data)[0]);
    return n;
}

static Node *make_matmul8(Random *r)
{
    return make_weights(r, DT_I8, false);
}

static Node *make_matmul4(Random *r)
{
    return make_weights(r, DT_I4, false);
}

static Node *make_groups(Random *r)
{
    return make_weights(r, one_in(r, 3) ? DT_I8 : DT_I4, true);
}

/* a run-time operand b, batches that broadcast */
static Node *make_operand(Random *r, bool trans)
{
    int64_t k = depth(r), m = between(r, 1, 9), cols = between(r, 1, 70);
    int64_t da[4] = { between(r, 1, 3), between(r, 1, 3), m, k };
    int64_t db[4] = { one_in(r, 3) ? 1 : da[0], one_in(r, 3) ? 1 : da[1],
                      trans ? cols : k, trans ? k : cols };
    int ra = between(r, 2, 4), rb = between(r, 2, 4);
    Value *in[4];
    Attr_qmatmul *q;
    Node *n;

    in[0] = input(r, type_make(code(r), ra, da + 4 - ra));
    in[1] = input(r, type_make(code(r), rb, db + 4 - rb));
    in[2] = scales(r, 1, 1, 1);
    in[3] = bias(r, cols);
    n = node(r, OP_QMatMul, 4, in);
    q = n->attr;
    q->transB = trans;
    q->b_zp = zero_point(r, in[1]->type.dt);
    matmul_numbers(r, n, k, (double)((const float *)in[2]->data)[0]);
    return n;
}

static Node *make_rows(Random *r)
{
    return make_operand(r, true);
}

static Node *make_columns(Random *r)
{
    return make_operand(r, false);
}

static Type image(Random *r, DType dt, const Axis *a)
{
    return (Type){ dt, 4, { between(r, 1, 2), a[0].in, a[1].in,
                            between(r, 1, 75) } };
}

static Node *make_average(Random *r)
{
    Axis a[2] = { axis(r, between(r, 1, 5)), axis(r, between(r, 1, 5)) };
    Value *x = input(r, image(r, code(r), a));
    Node *n = node(r, OP_QAveragePool, 1, &x);
    Attr_qpool *q = n->attr;

    set_window(r, a, &q->kernel_shape, &q->strides, &q->dilations, &q->pads);
    q->ceil_mode = one_in(r, 3);
    q->count_include_pad = one_in(r, 2);
    q->x_scale = (float)scale(r, -20, 10);
    q->x_zp = zero_point(r, x->type.dt);
    q->output_dtype = result(r, (double)q->x_scale, 7, &q->y_scale, &q->y_zp,
                             &q->lo, &q->hi);
    return n;
}

static Node *make_max(Random *r)
{
    Axis a[2] = { axis(r, between(r, 1, 5)), axis(r, between(r, 1, 5)) };
    Value *x = input(r, image(r, one_in(r, 5) ? DT_I16 : code(r), a));
    Node *n = node(r, OP_QMaxPool, 1, &x);
    Attr_qmaxpool *q = n->attr;

    set_window(r, a, &q->kernel_shape, &q->strides, &q->dilations, &q->pads);
    q->ceil_mode = one_in(r, 3);
    return n;
}

static Node *make_mean(Random *r)
{
    int64_t dim[4], axes[4];
    int rank = between(r, 1, 4), from = below(r, rank);
    int count = between(r, 1, rank - from);
    Value *x;
    Attr_qmean *q;
    Node *n;

    for (int i = 0; i < rank; i++) {
        dim[i] = between(r, 1, i + 1 == rank ? 70 : 7);
        axes[i] = from + i - (one_in(r, 2) ? rank : 0);
    }
    x = input(r, type_make(code(r), rank, dim));
    n = node(r, OP_QReduceMean, 1, &x);
    q = n->attr;
    q->axes = list(r, count, axes);
    q->keepdims = one_in(r, 2);
    q->x_scale = (float)scale(r, -20, 10);
    q->x_zp = zero_point(r, x->type.dt);
    q->output_dtype = result(r, (double)q->x_scale, 6, &q->y_scale, &q->y_zp,
                             &q->lo, &q->hi);
    return n;
}

typedef Node *Maker(Random *r);

static const struct { const char *name; Maker *make; } kinds[] = {
    { "int8 convolution", make_conv8 },
    { "int4 convolution", make_conv4 },
    { "depthwise convolution", make_depthwise },
    { "pointwise convolution", make_pointwise },
    { "int8 product", make_matmul8 },
    { "int4 product", make_matmul4 },
    { "product with scales per group", make_groups },
    { "product with run-time rows", make_rows },
    { "product with run-time columns", make_columns },
    { "average pool", make_average },
    { "max pool", make_max },
    { "mean", make_mean },
};

enum { NKIND = sizeof kinds / sizeof kinds[0] };

/* A layer, or none where inference refuses it (sums that do not fit). */
static bool add_layer(Random *r, Maker *make)
{
    int inputs = r->g->nin;
    Node *n = make(r);

    if (node_refusal(r->g, n)) {
        while (r->g->nin > inputs)      /* stay unused inputs */
            r->g->nin--;
        return false;
    }
    graph_append(r->g, n);
    graph_add_output(r->g, n->out[0]);
    return true;
}

static uint64_t walk_state;

static void walk_backwards(Graph *g)
{
    for EACH_NODE(n, g) {
        walk_state = walk_state * UINT64_C(6364136223846793005) + 1;
        n->backward = walk_state >> 63;
    }
}

static int random_graph(Fixture *f, Random *r, uint64_t seed, Maker *make,
                        int layers)
{
    int made = 0;

    memset(r, 0, sizeof *r);
    r->state = seed;
    r->g = graph_new(f->arena, f->scratch, &f->diag);
    for (int i = 0; made < layers && i < 20 * layers; i++)
        made += add_layer(r, make);
    return made;
}

static void compare(uint64_t seed, int kind, int layers)
{
    static Random ref, gen;
    Tensor *want, *got;
    Fixture f;
    int made;

    fixture_open(&f);
    made = random_graph(&f, &ref, seed, kinds[kind].make, layers);
    ck_assert_int_eq(made, layers);
    random_graph(&f, &gen, seed, kinds[kind].make, layers);
    want = NEW_ARRAY(f.arena, Tensor, ref.g->nout);
    got = NEW_ARRAY(f.arena, Tensor, ref.g->nout);
    walk_state = seed;
    ck_assert(graph_eval(ref.g, ref.in, want, f.arena, NULL, NULL));
    generated_run(&f, gen.g, gen.in, got);
    for (int i = 0; i < ref.g->nout; i++) {
        Buf b;
        buf_init(&b, f.arena);
        node_print(&b, ref.g->out[i]->def);
        ck_assert_msg(generated_agrees(&want[i], &got[i], 0),
                      "seed %llu, %s, layer %d differs: %s",
                      (unsigned long long)seed, kinds[kind].name, i, b.s);
    }
    fixture_close(&f);
}

/* Every kind, its layers in graphs of PER_GRAPH, built in three ways. */
START_TEST(generated_layers_are_equal)
{
    static const char *const flags[] = {
        GENERATED_STRICT, "-std=c99 -O3 -march=native -Wall -Wextra -Werror",
        "-std=c99 -O2 -fno-strict-aliasing",
    };
    const char *more = getenv("MCUFC_LAYERS");
    int layers = more ? atoi(more) : LAYERS;

    for (int at = 0, i = 0; at < layers; at += PER_GRAPH, i++) {
        int left = layers - at;
        build_flags = flags[(i + _i) % 3];
        compare((uint64_t)(1 + i + 1000 * _i), _i,
                left < PER_GRAPH ? left : PER_GRAPH);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("integer products");
    TCase *t = tcase_create("random");

    tcase_set_timeout(t, 7200);
    tcase_add_loop_test(t, generated_layers_are_equal, 0, NKIND);
    suite_add_tcase(s, t);
    return test_main(s);
}
