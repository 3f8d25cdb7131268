/* relation_test.c - every axis relation against the interpreter: each element
 * of each operand is changed in turn, and along every axis of every result
 * exactly those indices may change that the relation names. "Exactly": what
 * changes must be named, and what a POINT or WINDOW names must change for
 * some element of that index.
 */
#include "test.h"

#include "../../frontend/model.h"
#include "../../ir/relation.h"

typedef struct Row {
    const char *text;           /* a model of one node */
    /* relations (operand, result axis pairs) of POINT or WINDOW kind that
     * there must be at least: all-ALL answers would pass any test */
    int named;
    bool loose;                 /* may name more than what changes */
} Row;

#define X "float[2,3,8] x"
static const Row rows[] = {
    { "g (" X ") => (y) { y = Tanh(x) }", 3, false },
    { "g (" X ", float[8] b) => (y) { y = Add(x, b) }", 4, false },
    { "g (" X ", float[3,1] b) => (y) { y = Mul(x, b) }", 4, false },
    { "g (" X ", float[1,3,1] b) => (y) { y = Sub(b, x) }", 4, false },
    { "g (bool[2,1] c, float[2,3] a, float[3] b) => (y)"
      "{ y = Where(c, a, b) }", 4, true },
    { "g (" X ") => (y) <int64[2] s = {2, 24}> { y = Reshape(x, s) }", 2,
      false },
    { "g (" X ") => (y) <int64[3] s = {6, 2, 4}> { y = Reshape(x, s) }", 1,
      true },
    { "g (float[1,3,8] x) => (y) <int64[4] s = {1, 3, 2, 4}>"
      "{ y = Reshape(x, s) }", 2, false },
    { "g (float[1,3,2,4] x) => (y) <int64[3] s = {1, 3, 8}>"
      "{ y = Reshape(x, s) }", 2, false },
    { "g (float[1,5,2,3] x) => (y) <int64[3] s = {1, 5, 6}>"
      "{ y = Reshape(x, s) }", 2, false },
    { "g (" X ") => (y) { y = Flatten(x) }", 2, false },
    { "g (float[2,1,4] x) => (y) <int64[1] a = {1}> { y = Squeeze(x, a) }",
      2, false },
    { "g (" X ") => (y) { y = Transpose <perm = [2, 0, 1]> (x) }", 3,
      false },
    { "g (" X ") => (y) { y = Softmax(x) }", 2, false },
    { "g (int8[2,3,8] x) => (y) { y = mcufc.QSoftmax <x_scale = 0.01, "
      "y_scale = 0.00001, output_dtype = 5> (x) }", 2, false },
    { "g (int8[2,3,8] x) => (y) <float[24] s = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
      "1,1,1,1,1,1,1,1,1,1}> { y = mcufc.QLayerNorm <x_scale = 0.1, axis = "
      "1, y_scale = 0.0001, output_dtype = 5> (x, s) }", 1, true },
    { "g (int8[2,3,8] x, uint8[3,1] b) => (y) { y = mcufc.QAdd <a_scale = "
      "0.1, b_scale = 0.1, y_scale = 0.1> (x, b) }", 4, true },
    { "g (int8[2,1,4] q, int8[2,3,4] k, int8[2,3,4] v) => (y) { y = "
      "mcufc.QAttention <q_num_heads = 2, kv_num_heads = 2, q_scale = 0.02, "
      "k_scale = 0.02, v_scale = 0.1, y_scale = 0.0001, output_dtype = 5> "
      "(q, k, v) }", 6, true },
    { "g (uint8[1,4,5,2] x) => (y) <int8[6,3,2,1] w = {1,2,3,1,1,1,1,1,1,1,"
      "1,1,1,2,3,1,1,1,1,1,1,1,1,1,1,2,3,1,1,1,1,1,1,1,1,1}, float[1] s = "
      "{1}> { y = mcufc.QConv <group = 2, pads = [1,0,1,1], strides = [2,1],"
      " x_scale = 1, y_scale = 1, output_dtype = 5> (x, w, s) }", 3, true },
    { "g (int8[1,2,4,5] x) => (y) <int8[2,2,2,2] w = {1,1,1,1,1,1,1,1,1,1,1,"
      "1,1,1,1,1}, float[1] s = {1}> { y = mcufc.QConv <planar = 1, x_scale "
      "= 1, y_scale = 1, output_dtype = 5> (x, w, s) }", 2, false },
    { "g (int8[2,3,4] x) => (y) <int8[2,4] w = {1,1,1,1,1,1,1,1}, float[2] s "
      "= {1, 2}> { y = mcufc.QMatMul <transB = 1, a_scale = 1, y_scale = 1, "
      "output_dtype = 5> (x, w, s) }", 2, false },
    { "g (int8[2,3,4] a, int8[4,3] b) => (y) <float[1] s = {1}> { y = "
      "mcufc.QMatMul <a_scale = 1, y_scale = 1, output_dtype = 5> "
      "(a, b, s) }", 3, false },
    { "g (int8[2,3,4] a, int8[2,5,4] b) => (y) <float[1] s = {1}> { y = "
      "mcufc.QMatMul <transB = 1, a_scale = 1, y_scale = 1, "
      "output_dtype = 5> (a, b, s) }", 4, false },
    { "g (uint8[1,4,5,2] x) => (y) { y = mcufc.QMaxPool <kernel_shape = "
      "[2,3], pads = [1,0,0,1]> (x) }", 3, true },
    { "g (uint8[1,4,5,2] x) => (y) { y = mcufc.QAveragePool <kernel_shape = "
      "[2,3], pads = [1,0,0,1], x_scale = 1, y_scale = 0.125, output_dtype "
      "= 5> (x) }", 3, false },
    { "g (int8[2,3,4,2] x) => (y) { y = mcufc.QReduceMean <axes = [1,2], "
      "keepdims = 0, x_scale = 1, y_scale = 0.0625, output_dtype = 5> (x) }",
      2, false },
    { "g (int8[2,3,4,2] x) => (y) { y = mcufc.QReduceSum <axes = [1,2]> (x) }",
      2, false },
    { "g (" X ") => (y) { y = LogSoftmax <axis = 1> (x) }", 2, false },
    { "g (" X ") => (y) { y = LpNormalization <axis = -2> (x) }", 2,
      false },
    { "g (" X ", float[8] s, float[8] b) => (y) "
      "{ y = LayerNormalization(x, s, b) }", 2, false },
    { "g (" X ", float[3,8] s) => (y, m, v) "
      "{ y, m, v = LayerNormalization <axis = 1> (x, s) }", 3, false },
    { "g (" X ", float[8] s) => (y) { y = RMSNormalization(x, s) }", 2,
      false },
    { "g (float[2,4,3] x, float[4] a, float[4] b, float[4] c, float[4] d) "
      "=> (y) { y = BatchNormalization(x, a, b, c, d) }", 7, false },
    { "g (float[2,4,3] x, float[4] a, float[4] b) => (y) "
      "{ y = InstanceNormalization(x, a, b) }", 4, false },
    { "g (float[2,4,3] x, float[4] a, float[4] b) => (y) "
      "{ y = GroupNormalization <num_groups = 2> (x, a, b) }", 4, false },
    { "g (float[2,6,3] x) => (y) { y = LRN <size = 3> (x) }", 3, false },
    { "g (float[4,3] a, float[3,5] b) => (y) { y = MatMul(a, b) }", 2,
      false },
    { "g (float[2,4,3] a, float[3,5] b) => (y) { y = MatMul(a, b) }", 3,
      false },
    { "g (float[2,1,4,3] a, float[5,3,2] b) => (y) { y = MatMul(a, b) }", 4,
      false },
    { "g (float[3] a, float[2,3,4] b) => (y) { y = MatMul(a, b) }", 0,
      true },
    { "g (float[3,4] a, float[5,3] b, float[5] c) => (y) "
      "{ y = Gemm <transA = 1, transB = 1> (a, b, c) }", 3, false },
    { "g (float[4,3] a, float[3,5] b, float[4,1] c) => (y) "
      "{ y = Gemm(a, b, c) }", 3, false },
    { "g (float[2,4,3] a, float[5,3] b, float[5] c) => (y) { y = "
      "mcufc.FusedMatMul <transB = 1, act = \"Tanh\"> (a, b, c) }", 4,
      false },
    { "g (uint8[4,3] a, uint8[3,5] b) => (y) { y = MatMulInteger(a, b) }",
      2, false },
    { "g (float[1,2,7,6] x, float[3,2,3,2] w, float[3] b) => (y) { y = Conv "
      "<strides = [2, 1], pads = [1, 0, 1, 1]> (x, w, b) }", 4, false },
    { "g (float[2,4,5] x, float[6,2,2] w) => (y) "
      "{ y = Conv <group = 2, dilations = [2]> (x, w) }", 4, false },
    { "g (float[1,3,8,8] x, float[4,3,4,4] w) => (y) "
      "{ y = Conv <strides = [4, 4]> (x, w) }", 3, false },
    { "g (float[1,2,7,6] x) => (y) { y = MaxPool <kernel_shape = [3, 2], "
      "strides = [2, 2], pads = [1, 0, 0, 1]> (x) }", 3, true },
    { "g (float[1,2,7,6] x) => (y) { y = AveragePool <kernel_shape = [3, 2],"
      " strides = [2, 1], dilations = [1, 2]> (x) }", 3, false },
    { "g (float[2,3,4,4] x) => (y) { y = GlobalAveragePool(x) }", 2,
      false },
    { "g (" X ") => (y) <int64[1] a = {1}> { y = ReduceMean(x, a) }", 2,
      false },
    { "g (" X ") => (y) <int64[1] a = {1}>"
      "{ y = ReduceSum <keepdims = 0> (x, a) }", 2, false },
    { "g (" X ") => (y) <int64[2] a = {0, 2}>"
      "{ y = ReduceL2 <keepdims = 0> (x, a) }", 1, false },
    { "g (" X ") => (y) { y = ArgMax <axis = 1, keepdims = 0> (x) }", 2,
      true },
    { "g (" X ") => (y) <int64[2] b = {1, 6}, int64[2] e = {3, 0}, "
      "int64[2] a = {1, 2}, int64[2] s = {1, -2}> { y = Slice(x, b, e, a, s) }",
      3, false },
    { "g (" X ") => (a, b, c) <int64[3] k = {1, 2, 5}>"
      "{ a, b, c = Split <axis = 2> (x, k) }", 8, false },
    { "g (" X ", float[2,1,8] z) => (y) { y = Concat <axis = 1> (z, x) }",
      6, false },
    { "g (" X ") => (y) <int64[6] p = {0, 1, -2, 0, 2, 0}>"
      "{ y = Pad(x, p) }", 3, false },
    { "g (" X ") => (y) <int64[6] p = {0, 1, 0, 0, 2, 0}>"
      "{ y = Pad <mode = \"reflect\"> (x, p) }", 2, true },
    { "g (float[3,1] x) => (y) <int64[3] s = {2, 3, 4}>"
      "{ y = Expand(x, s) }", 1, false },
    { "g (float[3,2] x) => (y) <int64[2] s = {1, 2}> { y = Tile(x, s) }", 1,
      true },
    { "g (" X ") => (y) <int64[2] k = {2, 0}> { y = Gather <axis = 1> (x, k)"
      " }", 2, true },
    { "g (" X ") => (y) <float s = {0.01}, int8 z = {0}>"
      "{ y = QuantizeLinear(x, s, z) }", 3, false },
    { "g (int8[2,3,4] x, float[3] s) => (y) { y = DequantizeLinear "
      "<axis = 1> (x, s) }", 4, true },
    { "g (float[1,3,8] q, float[1,5,8] k, float[1,5,12] v) => (y) { y = "
      "Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v) }", 4,
      true },
    { "g (float[2,3,8] q, float[2,5,4] k, float[2,5,6] v, float[1,4,3,5] m) "
      "=> (y) { y = Attention <q_num_heads = 4, kv_num_heads = 2> "
      "(q, k, v, m) }", 9, true },
    { "g (float[1,2,3,4] q, float[1,2,5,4] k, float[1,2,5,6] v, float[3,5] "
      "m) => (y) { y = Attention(q, k, v, m) }", 6, false },
};

/* one row */

typedef struct Case {
    Fixture f;
    Graph *g;
    Node *n;
    const Row *row;
    const Tensor *in[8];
    Tensor operand[8], before[4], after[4];
    uint64_t state;
} Case;

static double number(Case *c, const Value *v, int64_t i)
{
    double x;

    c->state = c->state * UINT64_C(6364136223846793005) +
               1442695040888963407u;
    x = (double)(int64_t)(c->state >> 40) / (1 << 24);
    (void)i;
    if (v->type.dt == DT_BOOL)
        return x < 0.5;
    return dtype_is_float(v->type.dt) ? x + 0.25 : 1 + (double)(int)(x * 60);
}

static void open_case(Case *c, const Row *row)
{
    FileBytes bytes = { (uint8_t *)(uintptr_t)row->text,
                        strlen(row->text) };
    Model m;

    memset(c, 0, sizeof *c);
    c->row = row;
    c->state = 7;
    fixture_open(&c->f);
    ck_assert_msg(text_read("x.mcu", bytes, c->f.arena, &c->f.diag, &m),
                  "%s", row->text);
    c->g = graph_new(c->f.arena, c->f.scratch, &c->f.diag);
    ck_assert_msg(model_build(&m, NULL, c->g), "%s", row->text);
    c->n = c->g->last;
    ck_assert_ptr_nonnull(c->n);
    ck_assert_msg(c->n == c->g->first, "%s", row->text);
}

static void make_operands(Case *c)
{
    for (int k = 0; k < c->n->nin; k++) {
        const Value *v = c->n->in[k];
        Tensor *t = &c->operand[k];
        if (!v)
            continue;
        t->type = v->type;
        t->data = arena_alloc(c->f.arena, (size_t)type_bytes(&v->type) + 16);
        c->in[k] = t;
        if (v->data)
            memcpy(t->data, v->data, (size_t)type_bytes(&v->type));
        for (int64_t i = 0; !v->data && i < type_elems(&v->type); i++)
            elem_set(v->type.dt, t->data, i, number(c, v, i));
    }
}

static void run(Case *c, Tensor *out)
{
    Tensor *p[4] = { 0 };

    for (int o = 0; o < c->n->nout; o++) {
        const Value *v = c->n->out[o];
        if (!v)
            continue;
        out[o].type = v->type;
        if (!out[o].data)
            out[o].data = arena_alloc(c->f.arena,
                                      (size_t)type_bytes(&v->type) + 16);
        memset(out[o].data, 0, (size_t)type_bytes(&v->type));
        p[o] = &out[o];
    }
    ck_assert(node_eval(c->n, c->in, p, c->f.scratch, &c->f.diag));
    arena_reset(c->f.scratch);
}

static int64_t index_along(const Type *t, int64_t element, int axis)
{
    return element / type_span(t, axis + 1, t->rank) % t->dim[axis];
}

static bool differs(const Case *c, int out, int64_t i)
{
    size_t size = (size_t)dtype_bytes(c->before[out].type.dt);

    return memcmp((char *)c->before[out].data + (size_t)i * size,
                  (char *)c->after[out].data + (size_t)i * size, size) != 0;
}

/* Marks hit[i][k]: index i of the result changed with index k. */
static void mark(Case *c, int out, int axis, const Relation *r, int64_t k,
                 int64_t dim, bool *hit)
{
    const Type *y = &c->before[out].type;

    for (int64_t e = 0; e < type_elems(y); e++) {
        int64_t i;
        if (!differs(c, out, e))
            continue;
        i = index_along(y, e, axis);
        ck_assert_msg(relation_reads(r, i, k), "%s\nresult %d axis %d index "
                      "%d changes with index %d of axis %d", c->row->text,
                      out, axis, (int)i, (int)k, r->axis);
        hit[i * dim + k] = true;
    }
}

static void perturb(Case *c, int in, int64_t e)
{
    Tensor *t = &c->operand[in];
    double was = elem_get(t->type.dt, t->data, e);

    elem_set(t->type.dt, t->data, e,
             t->type.dt == DT_BOOL ? !was : dtype_is_float(t->type.dt)
                 ? was + 1.75 : was + 3);
    run(c, c->after);
    elem_set(t->type.dt, t->data, e, was);
}

/* what is named must be hit, and lies in the range */
static void check_hits(Case *c, int out, int axis, const Relation *r,
                       int64_t dim, const bool *hit)
{
    int64_t n = c->before[out].type.dim[axis], lo, hi;

    for (int64_t i = 0; i < n; i++) {
        relation_range(r, dim, i, i + 1, &lo, &hi);
        for (int64_t k = 0; k < dim; k++) {
            bool reads = relation_reads(r, i, k);
            ck_assert_msg(!reads || (k >= lo && k < hi), "%s: range",
                          c->row->text);
            ck_assert_msg(c->row->loose || reads == hit[i * dim + k],
                          "%s\nresult %d axis %d index %d does not change "
                          "with index %d of axis %d", c->row->text, out,
                          axis, (int)i, (int)k, r->axis);
        }
    }
}

/* Returns 1 when the relation names something. */
static int check_relation(Case *c, int out, int in, int axis)
{
    const Type *x = &c->operand[in].type, *y = &c->before[out].type;
    Relation r = node_relation(c->n, out, in, axis);
    bool *hit;

    if (r.kind == REL_ALL || r.kind == REL_NONE)
        return 0;
    ck_assert_int_ge(r.axis, 0);
    ck_assert_int_lt(r.axis, x->rank);
    hit = NEW_ARRAY(c->f.arena, bool, y->dim[axis] * x->dim[r.axis]);
    for (int64_t e = 0; e < type_elems(x); e++) {
        perturb(c, in, e);
        mark(c, out, axis, &r, index_along(x, e, r.axis), x->dim[r.axis],
             hit);
    }
    check_hits(c, out, axis, &r, x->dim[r.axis], hit);
    return y->dim[axis] > 1;
}

START_TEST(test_row)
{
    Case c;
    int named = 0;

    open_case(&c, &rows[_i]);
    make_operands(&c);
    run(&c, c.before);
    for (int out = 0; out < c.n->nout; out++)
        for (int in = 0; in < c.n->nin; in++)
            for (int a = 0; c.n->out[out] && c.n->in[in] &&
                            !c.n->in[in]->data &&
                            a < c.n->out[out]->type.rank; a++)
                named += check_relation(&c, out, in, a);
    ck_assert_msg(named >= c.row->named, "%s: %d relations named, not %d",
                  c.row->text, named, c.row->named);
    fixture_close(&c.f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("relation");
    TCase *t = tcase_create("rows");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_row, 0, sizeof rows / sizeof rows[0]);
    suite_add_tcase(s, t);
    return test_main(s);
}
