/* qlinear_test.c - random layers of ONNX's own quantized ops, as the pass
 * `quantize` leaves them where it cannot do better: generated C against the
 * interpreter, equal in every bit. Scales per tensor, axis and block, in three
 * float types, constant and not; ties, infinities and NaN; zero points at the
 * ends of their types; windows over one to three axes.
 */
#define LAYERS_AFTER "quantize"
#include "layers.h"

static DType storage(Random *r)
{
    static const DType types[] = { DT_I8, DT_U8, DT_I8, DT_U8, DT_I16, DT_U16,
                                   DT_I4, DT_U4 };

    return types[below(r, 8)];
}

static DType float_type(Random *r)
{
    return one_in(r, 4) ? one_in(r, 2) ? DT_F16 : DT_BF16 : DT_F32;
}

static Type shape(Random *r, DType dt)
{
    Type t = { dt, between(r, 1, 4), { 0 } };

    for (int i = 0; i < t.rank; i++)
        t.dim[i] = between(r, 1, 7);
    if (one_in(r, 2))
        t.dim[t.rank - 1] = between(r, 1, 140);
    return t;
}

/* constant, or now and then an input; the caller writes its data */
static Value *operand(Random *r, Type t, void **data)
{
    Value *v;

    if (one_in(r, 5)) {
        v = input(r, t);
        *data = r->in[r->g->nin - 1].data;
        return v;
    }
    *data = arena_alloc(r->g->arena, (size_t)type_bytes(&t) + 16);
    return graph_const(r->g, "p", t, *data);
}

static Value *scales(Random *r, Type t, int lo, int hi)
{
    void *data;
    Value *v = operand(r, t, &data);
    bool far = t.dt != DT_F16 && !r->tame && one_in(r, 8), power = one_in(r, 4);

    for (int64_t i = 0; i < type_elems(&t); i++) {
        double s = far ? scale(r, -120, 100) : scale(r, lo, hi);
        elem_set(t.dt, data, i, power ? ldexp(1, ilogb(s)) : s);
    }
    return v;
}

static Value *zeros(Random *r, Type t, DType dt)
{
    void *data;
    Value *v;

    t.dt = dt;
    v = operand(r, t, &data);
    for (int64_t i = 0; i < type_elems(&t); i++)
        elem_set_int(dt, data, i, zero_point(r, dt));
    return v;
}

/* Of one scale, one per length of an axis, or one per block of it. */
static Type scale_shape(Random *r, const Type *x, DType dt, Node *n)
{
    Attr_quantize *q = n->attr;
    int way = below(r, 3), axis = below(r, x->rank);
    Type t = *x;

    t.dt = dt;
    q->axis = one_in(r, 2) ? axis : axis - x->rank;
    if (way == 0)
        return one_in(r, 2) ? type_scalar(dt) : type_vector(dt, 1);
    if (way == 1)
        return type_vector(dt, x->dim[axis]);
    q->block_size = between(r, 1, (int)x->dim[axis]);
    t.dim[axis] = (x->dim[axis] + q->block_size - 1) / q->block_size;
    return t;
}

/* about 300 codes both ways, ties, what is far out and what is no number */
static double number(Random *r, double unit, bool wild)
{
    if (wild && one_in(r, 10))
        return one_in(r, 3) ? (double)NAN : one_in(r, 2) ? (double)INFINITY
                                                         : -(double)INFINITY;
    if (one_in(r, 3))
        return unit * (between(r, -600, 600) * 0.5);
    return unit * (one_in(r, 20) ? 1e6 : 1) * between(r, -300000, 300000) /
           1000;
}

static Node *make_quantize(Random *r)
{
    DType dt = one_in(r, 8) ? DT_I32 : float_type(r), to = storage(r);
    Type t = shape(r, dt), st;
    Value *in[3] = { input(r, t), NULL, NULL };
    void *x = r->in[r->g->nin - 1].data;
    Node *n = node_new(r->g, OP_QuantizeLinear, "Quantize", 3, in, 1);
    DType sdt = dt == DT_I32 ? DT_F32 : one_in(r, 3) ? float_type(r) : dt;
    bool wild = dt != DT_I32 && one_in(r, 6);
    double unit;

    st = scale_shape(r, &t, sdt, n);
    node_set_input(n, 1, scales(r, st, -8, 4));
    unit = n->in[1]->data ? elem_get(sdt, n->in[1]->data, 0) : 1;
    for (int64_t i = 0; i < type_elems(&t); i++)
        if (dt == DT_I32)
            elem_set_int(dt, x, i, between(r, -300, 300));
        else
            elem_set(dt, x, i, number(r, unit, wild));
    ATTRS(quantize, n)->output_dtype = to;
    if (!one_in(r, 4))
        node_set_input(n, 2, zeros(r, st, to));
    return n;
}

static Node *make_dequantize(Random *r)
{
    DType dt = one_in(r, 8) ? DT_I32 : storage(r), sdt = float_type(r);
    Type t = shape(r, dt), st;
    Value *in[3] = { input(r, t), NULL, NULL };
    Node *n = node_new(r->g, OP_DequantizeLinear, "Dequantize", 3, in, 1);

    st = scale_shape(r, &t, sdt, n);
    node_set_input(n, 1, scales(r, st, -8, 4));
    if (one_in(r, 4))
        ATTRS(quantize, n)->output_dtype = float_type(r);
    if (dt != DT_I32 && !one_in(r, 4))
        node_set_input(n, 2, zeros(r, st, dt));
    return n;
}

static Node *make_dynamic(Random *r)
{
    Type t = shape(r, DT_F32);
    Value *x = input(r, t);
    float *data = r->in[r->g->nin - 1].data;
    int way = below(r, 6);
    double unit = (double)code_scale(r, -20, 20);
    bool wild = one_in(r, 10);

    for (int64_t i = 0; i < type_elems(&t); i++) {
        double v = number(r, unit, wild);
        data[i] = (float)(way == 0 ? fabs(v) : way == 1 ? -fabs(v)
                          : way == 2 ? 0 : v);
    }
    return node_new(r->g, OP_DynamicQuantizeLinear, "Dynamic", 1, &x, 3);
}

/* [.., m, k] with 1 on the axis that is `one` from the end, or one for all */
static Type per_line(Random *r, const Type *of, int one, DType dt)
{
    Type t = *of;

    t.dt = dt;
    if (one_in(r, 2))
        return one_in(r, 2) ? type_scalar(dt) : type_vector(dt, 1);
    if (of->rank < 2)
        return type_vector(dt, one == 2 ? of->dim[0] : 1);
    if (one_in(r, 2))
        return type_vector(dt, of->dim[of->rank - (3 - one)]);
    t.dim[t.rank - one] = 1;
    return t;
}

static void matrices(Random *r, Type *a, Type *b, Type *y)
{
    int64_t m = between(r, 1, 9), cols = between(r, 1, 40);
    int64_t k = one_in(r, 12) ? between(r, 500, 700) : between(r, 1, 90);
    int ra = between(r, 2, 4), rb = between(r, 2, 4);
    int64_t batch[2] = { between(r, 1, 3), between(r, 1, 3) };
    int64_t da[4] = { batch[0], batch[1], m, k };
    int64_t db[4] = { one_in(r, 3) ? 1 : batch[0],
                      one_in(r, 3) ? 1 : batch[1], k, cols };
    int64_t dy[4] = { batch[0], batch[1], m, cols };
    int ry = ra > rb ? ra : rb;

    *a = type_make(code(r), ra, da + 4 - ra);
    *b = type_make(code(r), rb, db + 4 - rb);
    for (int i = 4 - ry; i < 2; i++)
        if (i < 4 - ra)         /* a has no such axis */
            dy[i] = db[i];
    *y = type_make(code(r), ry, dy + 4 - ry);
}

static Node *make_linear_matmul(Random *r)
{
    Type a, b, y, s;
    Value *in[8];

    matrices(r, &a, &b, &y);
    in[0] = input(r, a);
    s = per_line(r, &a, 1, DT_F32);
    in[1] = scales(r, s, -8, 2);
    in[2] = zeros(r, s, a.dt);
    in[3] = one_in(r, 2) ? input(r, b) : constant(r, b);
    s = per_line(r, &b, 2, DT_F32);
    in[4] = scales(r, s, -8, 2);
    in[5] = zeros(r, s, b.dt);
    s = per_line(r, &y, 1, DT_F32);
    in[6] = scales(r, s, -4, 8);
    in[7] = zeros(r, s, y.dt);
    return node(r, OP_QLinearMatMul, 8, in);
}

static Node *make_matmul_integer(Random *r)
{
    Type a, b, y;
    Value *in[4] = { NULL };

    matrices(r, &a, &b, &y);
    in[0] = input(r, a);
    in[1] = one_in(r, 2) ? input(r, b) : constant(r, b);
    if (!one_in(r, 3))
        in[2] = zeros(r, per_line(r, &a, 1, a.dt), a.dt);
    if (!one_in(r, 3))
        in[3] = zeros(r, per_line(r, &b, 2, b.dt), b.dt);
    return node(r, OP_MatMulInteger, 4, in);
}

/* Operands of a convolution over 1 to 3 axes; sets the node's window. */
static void images(Random *r, Type *x, Type *w, Attr_conv *c, Axis *a)
{
    int64_t group = one_in(r, 3) ? between(r, 2, 5) : 1;
    int64_t cg = between(r, 1, 7), mg = between(r, 1, 9), v[3][3], pads[6];
    int rank = one_in(r, 5) ? between(r, 1, 3) : 2;

    *x = (Type){ code(r), rank + 2, { between(r, 1, 2), group * cg } };
    *w = (Type){ code(r), rank + 2, { group * mg, cg } };
    for (int i = 0; i < rank; i++) {
        a[i] = axis(r, between(r, 1, 4));
        x->dim[2 + i] = a[i].in;
        w->dim[2 + i] = v[0][i] = a[i].kernel;
        v[1][i] = a[i].stride;
        v[2][i] = a[i].dilation;
        pads[i] = a[i].pad;
        pads[rank + i] = a[i].pad_end;
    }
    c->group = group;
    c->kernel_shape = list(r, rank, v[0]);
    c->strides = list(r, rank, v[1]);
    c->dilations = list(r, rank, v[2]);
    c->pads = list(r, 2 * rank, pads);
}

static Type one_or(Random *r, int64_t n, DType dt)
{
    return one_in(r, 2) ? type_vector(dt, n)
           : one_in(r, 2) ? type_scalar(dt) : type_vector(dt, 1);
}

static Node *make_linear_conv(Random *r)
{
    Value *in[9] = { NULL };
    DType ydt = code(r);
    Attr_conv c = { 0 };
    Type x, w, one = type_scalar(DT_F32), per;
    Axis a[3];
    Node *n;

    images(r, &x, &w, &c, a);
    per = one_or(r, w.dim[0], DT_F32);
    in[0] = input(r, x);
    in[1] = scales(r, one, -8, 2);
    in[2] = zeros(r, one, x.dt);
    in[3] = one_in(r, 5) ? input(r, w) : constant(r, w);
    in[4] = scales(r, per, -8, 2);
    in[5] = zeros(r, one_in(r, 3) ? one : per, w.dt);
    in[6] = scales(r, one, -4, 6);
    in[7] = zeros(r, one, ydt);
    if (one_in(r, 2)) {
        void *bias;
        in[8] = operand(r, type_vector(DT_I32, w.dim[0]), &bias);
        for (int64_t i = 0; i < w.dim[0]; i++)
            elem_set_int(DT_I32, bias, i, between(r, -(1 << 20), 1 << 20));
    }
    n = node(r, OP_QLinearConv, 9, in);
    c.auto_pad = ATTRS(conv, n)->auto_pad;
    c.act = ATTRS(conv, n)->act;
    *ATTRS(conv, n) = c;
    return n;
}

static Node *make_conv_integer(Random *r)
{
    Value *in[4] = { NULL };
    Attr_conv c = { 0 };
    Type x, w;
    Axis a[3];
    Node *n;

    images(r, &x, &w, &c, a);
    in[0] = input(r, x);
    in[1] = one_in(r, 5) ? input(r, w) : constant(r, w);
    if (!one_in(r, 3))
        in[2] = zeros(r, type_scalar(x.dt), x.dt);
    if (!one_in(r, 3))
        in[3] = zeros(r, one_or(r, w.dim[0], w.dt), w.dt);
    n = node(r, OP_ConvInteger, 4, in);
    c.auto_pad = ATTRS(conv, n)->auto_pad;
    c.act = ATTRS(conv, n)->act;
    *ATTRS(conv, n) = c;
    return n;
}

/* A step before the layer's own: of a form that is never refused. */
static Value *inferred(Random *r, Node *n)
{
    graph_append(r->g, n);
    ck_assert(node_infer(r->g, n));
    return n->out[0];
}

/* Floats of codes; per: the form of scales and zero points. */
static Value *dequantized(Random *r, Value *x, Type per, int axis)
{
    Value *in[3] = { x, scales(r, per, -8, 2), NULL };
    Node *n;

    in[2] = zeros(r, per, x->type.dt);
    n = node(r, OP_DequantizeLinear, 3, in);
    ATTRS(quantize, n)->axis = axis;
    return inferred(r, n);
}

/* Between Q and DQ, over 1 or 2 axes. */
static Node *make_transposed(Random *r)
{
    int64_t group = one_in(r, 3) ? between(r, 2, 3) : 1, pads[4], v[3][2];
    int64_t cg = between(r, 1, 5), mg = between(r, 1, 5);
    int rank = one_in(r, 4) ? 1 : 2;
    DType dt = one_in(r, 5) ? any_code(r) : code(r), ydt = code(r);
    Type x = { dt, rank + 2, { between(r, 1, 2), group * cg } };
    Type w = { code(r), rank + 2, { group * cg, mg } };
    Type one = type_scalar(DT_F32);
    Attr_convtranspose *a;
    Value *in[3];
    Node *n;

    for (int i = 0; i < rank; i++) {
        x.dim[2 + i] = between(r, 1, 6);
        w.dim[2 + i] = v[0][i] = between(r, 1, 5);
        v[1][i] = between(r, 1, 3);
        v[2][i] = below(r, (int)v[1][i]);
        pads[i] = below(r, (int)v[0][i]);
        pads[rank + i] = below(r, (int)v[0][i]);
        if ((x.dim[2 + i] - 1) * v[1][i] + v[0][i] <=
            pads[i] + pads[rank + i])
            pads[i] = pads[rank + i] = 0;
    }
    in[0] = dequantized(r, input(r, x), one, 1);
    in[1] = dequantized(r, constant(r, w), one_or(r, mg, DT_F32), 1);
    in[2] = one_in(r, 2) ? floats(r, group * mg, -4, 8) : NULL;
    n = node(r, OP_ConvTranspose, 3, in);
    a = n->attr;
    a->group = group;
    a->kernel_shape = list(r, rank, v[0]);
    a->strides = list(r, rank, v[1]);
    a->output_padding = list(r, rank, v[2]);
    a->pads = list(r, 2 * rank, pads);
    in[0] = inferred(r, n);
    in[1] = scales(r, one, -4, 6);
    in[2] = zeros(r, one, ydt);
    n = node(r, OP_QuantizeLinear, 3, in);
    ATTRS(quantize, n)->output_dtype = ydt;
    return n;
}

static const Kind kinds[] = {
    { "QuantizeLinear", make_quantize, false },
    { "DequantizeLinear", make_dequantize, false },
    { "DynamicQuantizeLinear", make_dynamic, false },
    { "QLinearMatMul", make_linear_matmul, false },
    { "MatMulInteger", make_matmul_integer, false },
    { "QLinearConv", make_linear_conv, false },
    { "ConvInteger", make_conv_integer, false },
    { "QLinearMatMul, converted", make_linear_matmul, true },
    { "QLinearConv, converted", make_linear_conv, true },
    { "ConvTranspose, converted", make_transposed, true },
};

#include "layers_run.h"

int main(void)
{
    Suite *s = suite_create("quantized operators");
    TCase *t = tcase_create("random");

    tcase_set_timeout(t, 7200);
    tcase_add_loop_test(t, generated_layers_are_equal, 0, NKIND);
    suite_add_tcase(s, t);
    return test_main(s);
}
