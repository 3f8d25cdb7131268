/* qproduct_test.c - random layers of QConv, QMatMul and the integer pools:
 * generated C against the interpreter, equal in every bit. Scales and zero
 * points at their ends, saturation, odd sizes, groups, depthwise, strides,
 * dilations, padding, planar images, 8 and 16 bits mixed, int4 weights,
 * scales per group, run-time operands, backward walks, clamps.
 */
#include "layers.h"

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

/* of what weights multiply: now and then 16 bits, around the middle */
static DType factor(Random *r)
{
    return one_in(r, 5) ? one_in(r, 2) ? DT_I16 : DT_U16 : code(r);
}

static int64_t factor_zero(Random *r, DType dt)
{
    return dtype_bits(dt) == 8 ? zero_point(r, dt) : dt == DT_U16 ? 32768 : 0;
}

typedef struct Filter {
    int64_t group, cg, mg;
    int kernel;                 /* 1: pointwise */
    DType dt;
    bool whole;                 /* the window is the image */
    bool planar;
    int64_t wider;              /* columns of the image that are many more */
} Filter;

/* how much scratch the kernel takes */
static void lean(Random *r, Node *n)
{
    if (one_in(r, 2))
        node_set_lean(n, between(r, 1, 2));
}

/* now and then that of a node of which this one is a part */
static int64_t whole_shift(Random *r)
{
    return one_in(r, 10) ? between(r, 1, 12) : 0;
}

static Node *make_conv(Random *r, const Filter *f)
{
    Axis a[2] = { axis(r, one_in(r, 6) ? 1 : f->kernel),
                  axis(r, f->kernel) };
    int64_t c = f->group * f->cg, m = f->group * f->mg, k;
    bool planar = f->planar || one_in(r, 5);
    DType x = factor(r);
    Value *in[4];
    Attr_qconv *q;
    Node *n;

    if (f->whole)
        for (int i = 0; i < 2; i++)
            a[i] = (Axis){ a[i].kernel, a[i].kernel, a[i].stride, 1, 0, 0 };
    a[1].in += f->wider;
    k = f->cg * a[0].kernel * a[1].kernel;
    in[0] = input(r, planar
                  ? (Type){ x, 4, { between(r, 1, 2), c, a[0].in, a[1].in } }
                  : (Type){ x, 4, { between(r, 1, 2), a[0].in, a[1].in, c } });
    in[1] = constant(r, (Type){ f->dt, 4, { m, a[0].kernel, a[1].kernel,
                                            f->cg } });
    in[2] = scales(r, 1, one_in(r, 3) ? 1 : m, 1);
    in[3] = bias(r, m);
    n = node(r, OP_QConv, 4, in);
    lean(r, n);
    q = n->attr;
    set_window(r, a, &q->kernel_shape, &q->strides, &q->dilations, &q->pads);
    q->shift = whole_shift(r);
    q->group = f->group;
    q->planar = planar;
    q->x_scale = code_scale(r, -20, 10);
    q->x_zp = factor_zero(r, x);
    q->output_dtype = result(r, (double)q->x_scale *
                             (double)((const float *)in[2]->data)[0],
                             12 + log2_of(k) / 2, &q->y_scale, &q->y_zp,
                             &q->lo, &q->hi);
    return n;
}

static Node *make_conv8(Random *r)
{
    Filter f = { between(r, 1, 3), between(r, 1, 9), between(r, 1, 40),
                 between(r, 1, 4), DT_I8, one_in(r, 10), false, 0 };

    if (one_in(r, 2))
        f.group = 1;
    return make_conv(r, &f);
}

static Node *make_conv4(Random *r)
{
    Filter f = { one_in(r, 3) ? 2 : 1, between(r, 1, 9), between(r, 1, 40),
                 between(r, 1, 4), DT_I4, one_in(r, 10), false, 0 };

    return make_conv(r, &f);
}

static Node *make_depthwise(Random *r)
{
    Filter f = { between(r, 2, 80), 1, 1, between(r, 1, 5), DT_I8, false, false,
                 0 };

    if (one_in(r, 6))
        f.mg = 2;
    if (one_in(r, 6))
        f.dt = DT_I4;
    return make_conv(r, &f);
}

static Node *make_pointwise(Random *r)
{
    Filter f = { 1, between(r, 1, 70), between(r, 1, 70), 1,
                 one_in(r, 4) ? DT_I4 : DT_I8, false, false, 0 };

    return make_conv(r, &f);
}

/* the first layer of a camera's image */
static Node *make_planar(Random *r)
{
    Filter f = { 1, between(r, 1, 5), between(r, 1, 40), between(r, 1, 11),
                 one_in(r, 4) ? DT_I4 : DT_I8, false, true, 0 };

    f.wider = between(r, 0, 40);
    return make_conv(r, &f);
}

/* depthwise, fewer channels than a vector has lanes */
static Node *make_narrow(Random *r)
{
    Filter f = { between(r, 1, 20), 1, 1, between(r, 1, 6), DT_I8, false,
                 false, 0 };

    f.wider = between(r, 0, 60);
    return make_conv(r, &f);
}

static void matmul_numbers(Random *r, Node *n, int64_t k, double b_scale)
{
    Attr_qmatmul *q = n->attr;

    q->a_scale = code_scale(r, -20, 10);
    q->a_zp = factor_zero(r, n->in[0]->type.dt);
    q->shift = whole_shift(r);
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
    in[0] = input(r, type_make(factor(r), rank, dim));
    in[1] = constant(r, (Type){ dt, 2, { m, k } });
    in[2] = groups > 1     ? scales(r, 2, m, groups)
            : one_in(r, 3) ? scales(r, 1, 1, 1)
                           : scales(r, 1, m, 1);
    in[3] = bias(r, m);
    n = node(r, OP_QMatMul, 4, in);
    lean(r, n);
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
    Node *n = make_weights(r, one_in(r, 3) ? DT_I8 : DT_I4, true);

    if (one_in(r, 8))           /* that of a node of which it is a part */
        ATTRS(qmatmul, n)->unit = between(r, 1, 1 << below(r, 15));
    return n;
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
    lean(r, n);
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
    Value *x = input(r, image(r, any_code(r), a));
    Node *n = node(r, OP_QAveragePool, 1, &x);
    Attr_qpool *q = n->attr;

    set_window(r, a, &q->kernel_shape, &q->strides, &q->dilations, &q->pads);
    q->ceil_mode = one_in(r, 3);
    q->count_include_pad = one_in(r, 2);
    q->x_scale = code_scale(r, -20, 10);
    q->x_zp = zero_point(r, x->type.dt);
    q->output_dtype = result(r, (double)q->x_scale, 7, &q->y_scale, &q->y_zp,
                             &q->lo, &q->hi);
    return n;
}

static Node *make_max(Random *r)
{
    Axis a[2] = { axis(r, between(r, 1, 5)), axis(r, between(r, 1, 5)) };
    Value *x = input(r, image(r, any_code(r), a));
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
    x = input(r, type_make(any_code(r), rank, dim));
    n = node(r, OP_QReduceMean, 1, &x);
    q = n->attr;
    q->axes = list(r, count, axes);
    q->keepdims = one_in(r, 2);
    q->x_scale = code_scale(r, -20, 10);
    q->x_zp = zero_point(r, x->type.dt);
    q->output_dtype = result(r, (double)q->x_scale, 6, &q->y_scale, &q->y_zp,
                             &q->lo, &q->hi);
    return n;
}

static Node *make_sum(Random *r)
{
    int64_t dim[4], axes[4];
    int rank = between(r, 1, 4), from = below(r, rank);
    int count = between(r, 1, rank - from);
    Value *x;
    Attr_qsum *q;
    Node *n;

    for (int i = 0; i < rank; i++) {
        dim[i] = between(r, 1, i + 1 == rank ? 70 : 7);
        axes[i] = from + i - (one_in(r, 2) ? rank : 0);
    }
    x = input(r, type_make(any_code(r), rank, dim));
    n = node(r, OP_QReduceSum, 1, &x);
    q = n->attr;
    q->axes = list(r, count, axes);
    q->x_zp = zero_point(r, x->type.dt);
    return n;
}

static const Kind kinds[] = {
    { "int8 convolution", make_conv8, false },
    { "int4 convolution", make_conv4, false },
    { "depthwise convolution", make_depthwise, false },
    { "pointwise convolution", make_pointwise, false },
    { "int8 product", make_matmul8, false },
    { "int4 product", make_matmul4, false },
    { "product with scales per group", make_groups, false },
    { "product with run-time rows", make_rows, false },
    { "product with run-time columns", make_columns, false },
    { "average pool", make_average, false },
    { "max pool", make_max, false },
    { "mean", make_mean, false },
    { "sum of codes", make_sum, false },
    { "planar image", make_planar, false },
    { "few channels", make_narrow, false },
};

#include "layers_run.h"

int main(void)
{
    Suite *s = suite_create("integer products");
    TCase *t = tcase_create("random");

    tcase_set_timeout(t, 7200);
    tcase_add_loop_test(t, generated_layers_are_equal, 0, NKIND);
    suite_add_tcase(s, t);
    return test_main(s);
}
