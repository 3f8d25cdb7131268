/* save_test.c - graphs as ONNX files: what is written is read back as the
 * same graph, and means the same. */
#include "onnx.h"

static const char *const models[] = {
    "tests/data/attention.onnx", "tests/data/qcnn.onnx",
    "tests/data/features.onnx",
};

static Graph *build(Fixture *f, const char *path)
{
    BuildOptions opt = { 0 };
    Graph *g = graph_new(f->arena, arena_child(f->arena), &f->diag);
    Model m;

    f->diag.quiet = 2;
    ck_assert_msg(onnx_load(path, f->arena, &f->diag, &m), "%s", path);
    ck_assert_msg(model_build(&m, &opt, g), "%s", path);
    return g;
}

static const char *save(Fixture *f, Graph *g, const char *name, Buf *b)
{
    buf_init(b, f->arena);
    ck_assert(onnx_save(g, b));
    return test_file(name, b->s, b->n);
}

/* Inputs that are 0, 1, 2, 0, 1, 2, ... */
static Tensor *some_inputs(Fixture *f, const Graph *g)
{
    Tensor *in = NEW_ARRAY(f->arena, Tensor, g->nin);

    for (int i = 0; i < g->nin; i++) {
        Type t = g->in[i]->type;
        in[i].type = t;
        in[i].data = arena_alloc(f->arena, (size_t)type_bytes(&t));
        for (int64_t k = 0; k < type_elems(&t); k++)
            elem_set(t.dt, in[i].data, k, (double)(k % 3));
    }
    return in;
}

START_TEST(round_trip)
{
    Graph *g, *again;
    Tensor *in, *a, *b;
    Fixture f;
    Buf first, second;

    fixture_open(&f);
    g = build(&f, models[_i]);
    again = build(&f, save(&f, g, "a.onnx", &first));
    save(&f, again, "b.onnx", &second);
    ck_assert_uint_eq(first.n, second.n);
    ck_assert_mem_eq(first.s, second.s, first.n);
    in = some_inputs(&f, g);
    a = NEW_ARRAY(f.arena, Tensor, g->nout);
    b = NEW_ARRAY(f.arena, Tensor, g->nout);
    ck_assert(graph_eval(g, in, a, f.arena, NULL, NULL));
    ck_assert(graph_eval(again, in, b, f.arena, NULL, NULL));
    for (int i = 0; i < g->nout; i++) {
        ck_assert_str_eq(g->out[i]->name, again->out[i]->name);
        ck_assert(type_equal(&a[i].type, &b[i].type));
        ck_assert_mem_eq(a[i].data, b[i].data,
                         (size_t)type_bytes(&a[i].type));
    }
    fixture_close(&f);
}
END_TEST

static Graph *empty_graph(Fixture *f)
{
    return graph_new(f->arena, arena_child(f->arena), &f->diag);
}

static Value *input(Graph *g, const char *name, int64_t rows, int64_t cols)
{
    int64_t dim[] = { rows, cols };
    Value *v = graph_value(g, name, type_make(DT_F32, 2, dim));

    graph_add_input(g, v);
    return v;
}

static Node *append(Graph *g, Op op, int nin, Value **in)
{
    Node *n = node_new(g, op, "n", nin, in, 1);

    graph_append(g, n);
    return n;
}

/* Infers, makes n's result the output, saves, loads. */
static Model reload(Fixture *f, Graph *g, Node *n)
{
    Model m;
    Buf b;

    ck_assert(node_infer(g, n));
    graph_add_output(g, n->out[0]);
    ck_assert(onnx_load(save(f, g, "m.onnx", &b), f->arena, &f->diag, &m));
    return m;
}

static const ModelAttr *attr(const ModelNode *n, const char *name)
{
    for (int i = 0; i < n->nattr; i++)
        if (!strcmp(n->attr[i].name, name))
            return &n->attr[i];
    return NULL;
}

START_TEST(fused_product)
{
    const ModelNode *n;
    Value *in[3];
    Fixture f;
    Graph *g;
    Node *p;
    Model m;

    fixture_open(&f);
    g = empty_graph(&f);
    in[0] = input(g, "a", 3, 2);
    in[1] = input(g, "b", 3, 4);
    in[2] = input(g, "c", 1, 4);
    p = append(g, OP_FusedMatMul, 3, in);
    ATTRS(fusedmatmul, p)->transA = 1;
    ATTRS(fusedmatmul, p)->alpha = 0.5f;
    ATTRS(fusedmatmul, p)->act = "LeakyRelu";
    ATTRS(fusedmatmul, p)->act_alpha = 0.25f;
    m = reload(&f, g, p);
    n = m.graph.node;
    ck_assert_int_eq(m.graph.nnode, 3);
    ck_assert_str_eq(n[0].op, "FusedMatMul");
    ck_assert_str_eq(n[0].domain, "com.microsoft");
    ck_assert_int_eq(n[0].nattr, 2);
    ck_assert(attr(&n[0], "transA")->i == 1);
    ck_assert(attr(&n[0], "alpha")->f == 0.5f);
    ck_assert_str_eq(n[1].op, "Add");
    ck_assert_str_eq(n[1].in[1], "c");
    ck_assert_str_eq(n[2].op, "LeakyRelu");
    ck_assert(attr(&n[2], "alpha")->f == 0.25f);
    ck_assert_str_eq(n[2].out[0], m.graph.out[0].name);
    ck_assert_int_eq(m.nopset, 2);
    ck_assert_int_eq(m.opset[0].version, 23);
    fixture_close(&f);
}
END_TEST

START_TEST(plain_product_with_clip)
{
    const ModelNode *n;
    Value *in[2];
    Fixture f;
    Graph *g;
    Node *p;
    Model m;

    fixture_open(&f);
    g = empty_graph(&f);
    in[0] = input(g, "a", 2, 3);
    in[1] = input(g, "b", 3, 4);
    p = append(g, OP_FusedMatMul, 2, in);
    ATTRS(fusedmatmul, p)->act = "Clip";
    ATTRS(fusedmatmul, p)->act_beta = 6;
    m = reload(&f, g, p);
    n = m.graph.node;
    ck_assert_int_eq(m.graph.nnode, 2);
    ck_assert_str_eq(n[0].op, "MatMul");
    ck_assert_str_eq(n[0].domain, "");
    ck_assert_int_eq(n[0].nattr, 0);
    ck_assert_str_eq(n[1].op, "Clip");
    ck_assert_int_eq(n[1].nin, 3);
    ck_assert_int_eq(m.graph.ninit, 2);
    ck_assert(*(const float *)m.graph.init[0].data == 0);
    ck_assert(*(const float *)m.graph.init[1].data == 6);
    ck_assert_str_ne(m.graph.init[0].name, m.graph.init[1].name);
    ck_assert_int_eq(m.nopset, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(omitted_operand)
{
    Value *in[3] = { NULL };
    Fixture f;
    Graph *g;
    Model m;

    fixture_open(&f);
    g = empty_graph(&f);
    in[0] = input(g, "x", 2, 3);
    in[2] = graph_const_scalar(g, "high", DT_F32, 6);
    m = reload(&f, g, append(g, OP_Clip, 3, in));
    ck_assert_int_eq(m.graph.node[0].nin, 3);
    ck_assert_str_eq(m.graph.node[0].in[1], "");
    ck_assert_str_eq(m.graph.node[0].in[2], "high");
    ck_assert_int_eq(m.graph.nin, 1);
    ck_assert_int_eq((int)m.graph.in[0].dim[1].value, 3);
    fixture_close(&f);
}
END_TEST

START_TEST(newer_opset)
{
    Value *in[1];
    Fixture f;
    Graph *g;
    Model m;

    fixture_open(&f);
    g = empty_graph(&f);
    in[0] = input(g, "x", 2, 3);
    m = reload(&f, g, append(g, OP_Swish, 1, in));
    ck_assert_int_eq(m.opset[0].version, 24);
    fixture_close(&f);
}
END_TEST

START_TEST(constant_of_shape)
{
    Value *in[2], *sum[2];
    Fixture f;
    Graph *g;
    Node *n;
    Model m;

    fixture_open(&f);
    g = empty_graph(&f);
    in[0] = graph_const_ints(g, "s", 2, (int64_t[]){ 2, 3 });
    in[1] = graph_const_scalar(g, "v", DT_F32, 7);
    n = append(g, OP_ConstantOfShape, 2, in);
    ck_assert(node_infer(g, n));
    sum[0] = input(g, "x", 2, 3);
    sum[1] = n->out[0];
    m = reload(&f, g, append(g, OP_Add, 2, sum));
    ck_assert_str_eq(m.graph.node[0].op, "ConstantOfShape");
    ck_assert_int_eq(m.graph.node[0].nin, 1);
    ck_assert(*(const float *)attr(&m.graph.node[0], "value")->t->data == 7);
    fixture_close(&f);
}
END_TEST

/* Nodes of one name in the graph, names of their own in the file. */
START_TEST(node_names)
{
    Value *in[1];
    Fixture f;
    Graph *g;
    Node *n;
    Model m;

    fixture_open(&f);
    g = empty_graph(&f);
    in[0] = input(g, "x", 2, 3);
    n = append(g, OP_Neg, 1, in);
    ck_assert(node_infer(g, n));
    in[0] = n->out[0];
    m = reload(&f, g, append(g, OP_Neg, 1, in));
    ck_assert_str_eq(m.graph.node[0].name, "n");
    ck_assert_str_eq(m.graph.node[1].name, "n_2");
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("save");
    TCase *t = tcase_create("save");

    tcase_add_loop_test(t, round_trip, 0, sizeof models / sizeof *models);
    tcase_add_test(t, fused_product);
    tcase_add_test(t, plain_product_with_clip);
    tcase_add_test(t, omitted_operand);
    tcase_add_test(t, newer_opset);
    tcase_add_test(t, constant_of_shape);
    tcase_add_test(t, node_names);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    return test_main(s);
}
