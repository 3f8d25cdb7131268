/* load_test.c - models: structure, names, attributes, and damage. */
#include "onnx.h"

#define TYPE(t) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##t

START_TEST(constant_inputs)
{
    Onnx__ModelProto *m;
    Onnx__GraphProto *g;
    Model model;
    Fixture f;

    fixture_open(&f);
    m = empty_model(&f);
    g = m->graph;
    APPEND(&f, g->input, g->n_input, value_info(&f, "w"));
    APPEND(&f, g->input, g->n_input, value_info(&f, "x"));
    APPEND(&f, g->initializer, g->n_initializer,
           raw_tensor(&f, "w", 2, 1, "a", 1));
    ck_assert(load_packed_model(&f, m, &model));
    ck_assert_int_eq(model.graph.nin, 1);
    ck_assert_str_eq(model.graph.in[0].name, "x");
    ck_assert_int_eq(model.graph.in[0].rank, -1);
    ck_assert_int_eq(model.graph.ninit, 1);
    ck_assert_int_eq(model.nopset, 1);  /* none said: the first */
    ck_assert_int_eq(model.opset[0].version, 1);
    fixture_close(&f);
}
END_TEST

static Onnx__TypeProto *type_proto(Fixture *f, int which)
{
    Onnx__TypeProto *t = NEW(f->arena, Onnx__TypeProto);

    onnx__type_proto__init(t);
    t->value_case = (Onnx__TypeProto__ValueCase)which;
    return t;
}

static Onnx__TypeProto *tensor_type(Fixture *f, int dt)
{
    Onnx__TypeProto *t =
        type_proto(f, ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE);

    t->tensor_type = NEW(f->arena, Onnx__TypeProto__Tensor);
    onnx__type_proto__tensor__init(t->tensor_type);
    t->tensor_type->has_elem_type = 1;
    t->tensor_type->elem_type = dt;
    t->tensor_type->shape = NEW(f->arena, Onnx__TensorShapeProto);
    onnx__tensor_shape_proto__init(t->tensor_type->shape);
    return t;
}

/* symbol NULL: a number; "": neither */
static void add_dim(Fixture *f, Onnx__TypeProto *t, int64_t value,
                    const char *symbol)
{
    Onnx__TensorShapeProto *s = t->tensor_type->shape;
    Onnx__TensorShapeProto__Dimension *d =
        NEW(f->arena, Onnx__TensorShapeProto__Dimension);

    onnx__tensor_shape_proto__dimension__init(d);
    if (!symbol) {
        d->value_case =
            ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        d->dim_value = value;
    } else if (*symbol) {
        d->value_case =
            ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        d->dim_param = arena_strdup(f->arena, symbol);
    }
    APPEND(f, s->dim, s->n_dim, d);
}

static ModelInfo load_input(Fixture *f, Onnx__TypeProto *type)
{
    Onnx__ModelProto *m = empty_model(f);
    Onnx__ValueInfoProto *v = value_info(f, "x");
    Model model;

    v->type = type;
    APPEND(f, m->graph->input, m->graph->n_input, v);
    ck_assert(load_packed_model(f, m, &model));
    ck_assert_int_eq(model.graph.nin, 1);
    return model.graph.in[0];
}

START_TEST(input_dims)
{
    Onnx__TypeProto *t;
    ModelInfo in;
    Fixture f;

    fixture_open(&f);
    t = tensor_type(&f, 1);
    add_dim(&f, t, 3, NULL);
    add_dim(&f, t, 0, "batch");
    add_dim(&f, t, 0, "");
    add_dim(&f, t, -1, NULL);
    add_dim(&f, t, 0, NULL);
    in = load_input(&f, t);
    ck_assert_ptr_null(in.problem);
    ck_assert_int_eq(in.dt, DT_F32);
    ck_assert_int_eq(in.rank, 5);
    ck_assert_int_eq(in.dim[0].value, 3);
    ck_assert_str_eq(in.dim[1].symbol, "batch");
    for (int i = 1; i < 4; i++)
        ck_assert_int_eq(in.dim[i].value, -1);
    ck_assert_ptr_null(in.dim[2].symbol);
    ck_assert_int_eq(in.dim[4].value, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(input_problems)
{
    Onnx__TypeProto *t;
    Fixture f;

    fixture_open(&f);
    t = type_proto(&f, ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE);
    t->sequence_type = NEW(f.arena, Onnx__TypeProto__Sequence);
    onnx__type_proto__sequence__init(t->sequence_type);
    ck_assert_str_eq(load_input(&f, t).problem, "is a sequence");
    t = type_proto(&f, ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE);
    t->optional_type = NEW(f.arena, Onnx__TypeProto__Optional);
    onnx__type_proto__optional__init(t->optional_type);
    ck_assert_str_eq(load_input(&f, t).problem, "is an optional");
    ck_assert_str_eq(load_input(&f, tensor_type(&f, 8)).problem,
                     "element type string is not supported");
    ck_assert_str_eq(load_input(&f, tensor_type(&f, 77)).problem,
                     "unknown element type 77");
    t = tensor_type(&f, 1);
    for (int i = 0; i < 9; i++)
        add_dim(&f, t, 1, NULL);
    ck_assert_str_eq(load_input(&f, t).problem,
                     "has 9 dimensions, at most 8 are supported");
    t = tensor_type(&f, 1);
    add_dim(&f, t, INT64_MAX, NULL);
    add_dim(&f, t, 4, NULL);
    ck_assert_ptr_nonnull(load_input(&f, t).problem);
    fixture_close(&f);
}
END_TEST

static void add_one_of_each(Fixture *f, Onnx__NodeProto *n)
{
    static float floats[] = { 1, 2 };
    static int64_t ints[] = { -1, INT64_MAX, 3 };
    static ProtobufCBinaryData strings[] = {
        { 2, (uint8_t *)"ab" }, { 0, NULL },
    };
    Onnx__AttributeProto *a;

    a = add_attr(f, n, "f", TYPE(FLOAT));
    a->has_f = 1;
    a->f = 0.5f;
    a = add_attr(f, n, "i", 0);         /* untyped, as IR version 1 */
    a->has_i = 1;
    a->i = -3;
    a = add_attr(f, n, "zero", TYPE(INT));      /* its 0 left out */
    a = add_attr(f, n, "s", TYPE(STRING));
    a->has_s = 1;
    a->s = strings[0];
    a = add_attr(f, n, "floats", TYPE(FLOATS));
    a->n_floats = 2;
    a->floats = floats;
    a = add_attr(f, n, "ints", TYPE(INTS));
    a->n_ints = 3;
    a->ints = ints;
    a = add_attr(f, n, "strings", TYPE(STRINGS));
    a->n_strings = 2;
    a->strings = strings;
    a = add_attr(f, n, "t", TYPE(TENSOR));
    a->t = raw_tensor(f, "", 2, 2, "xy", 2);
    a = add_attr(f, n, "g", TYPE(GRAPH));
    a->g = NEW(f->arena, Onnx__GraphProto);
    onnx__graph_proto__init(a->g);
    add_node(f, a->g, "Inner");
    a = add_attr(f, n, "r", TYPE(INT));
    a->ref_attr_name = "outer";
    a = add_attr(f, n, "nul", TYPE(STRING));
    a->has_s = 1;
    a->s = (ProtobufCBinaryData){ 3, (uint8_t *)"a\0b" };
}

START_TEST(attributes)
{
    Onnx__ModelProto *m;
    const ModelAttr *a;
    Model model;
    Fixture f;

    fixture_open(&f);
    m = empty_model(&f);
    add_one_of_each(&f, add_node(&f, m->graph, "Any"));
    ck_assert(load_packed_model(&f, m, &model));
    ck_assert_int_eq(model.graph.node[0].nattr, 11);
    a = model.graph.node[0].attr;
    ck_assert(a[0].kind == MA_FLOAT && a[0].f == 0.5f);
    ck_assert(a[1].kind == MA_INT && a[1].i == -3);
    ck_assert(a[2].kind == MA_INT && a[2].i == 0);
    ck_assert(a[3].kind == MA_STRING && !strcmp(a[3].s, "ab"));
    ck_assert(a[4].kind == MA_FLOATS && a[4].floats.n == 2 &&
              a[4].floats.v[1] == 2);
    ck_assert(a[5].kind == MA_INTS && a[5].ints.n == 3 &&
              a[5].ints.v[1] == INT64_MAX);
    ck_assert(a[6].kind == MA_STRINGS && a[6].strings.n == 2 &&
              !strcmp(a[6].strings.v[1], ""));
    ck_assert(a[7].kind == MA_TENSOR &&
              !memcmp(a[7].t->data, "xy", 2));
    ck_assert(a[8].kind == MA_GRAPH && a[8].g->nnode == 1);
    ck_assert_str_eq(a[9].ref, "outer");
    ck_assert_int_eq(a[10].kind, MA_OTHER);
    fixture_close(&f);
}
END_TEST

START_TEST(attribute_tensor_refused)
{
    Onnx__ModelProto *m;
    Onnx__NodeProto *n;
    Model model;
    Fixture f;

    fixture_open(&f);
    m = empty_model(&f);
    n = add_node(&f, m->graph, "Constant");
    n->name = "c1";
    add_attr(&f, n, "value", TYPE(TENSOR))->t =
        raw_tensor(&f, "", 1, 2, "abcd", 4);
    ck_assert(!load_packed_model(&f, m, &model));
    expect_text(&f, "m.onnx: error: node 'c1' (Constant): attribute "
                "'value': tensor: raw_data has 4 bytes, float[2] needs 8");
    fixture_close(&f);
}
END_TEST

START_TEST(functions)
{
    Onnx__ModelProto *m;
    Onnx__FunctionProto *p;
    Onnx__GraphProto body;
    Onnx__NodeProto attrs;
    Model model;
    Fixture f;

    fixture_open(&f);
    m = empty_model(&f);
    p = NEW(f.arena, Onnx__FunctionProto);
    onnx__function_proto__init(p);
    onnx__graph_proto__init(&body);
    onnx__node_proto__init(&attrs);
    p->name = "Twice";
    p->domain = "my.own";
    p->overload = "v2";
    APPEND(&f, p->input, p->n_input, "x");
    APPEND(&f, p->output, p->n_output, "y");
    APPEND(&f, p->attribute, p->n_attribute, "axis");
    add_attr(&f, &attrs, "k", TYPE(INT));
    p->n_attribute_proto = 1;
    p->attribute_proto = attrs.attribute;
    add_node(&f, &body, "Add")->domain = "ai.onnx";
    p->n_node = 1;
    p->node = body.node;
    APPEND(&f, m->functions, m->n_functions, p);
    ck_assert(load_packed_model(&f, m, &model));
    ck_assert_int_eq(model.nfunction, 1);
    ck_assert_str_eq(model.function[0].name, "Twice");
    ck_assert_str_eq(model.function[0].domain, "my.own");
    ck_assert_str_eq(model.function[0].overload, "v2");
    ck_assert_str_eq(model.function[0].attr[0], "axis");
    ck_assert_str_eq(model.function[0].fallback[0].name, "k");
    ck_assert_str_eq(model.function[0].node[0].domain, "");
    fixture_close(&f);
}
END_TEST

static const char *const names[][2] = {
    { "conv1/weight:0", "conv1/weight:0" },
    { "a\\b \"q\" */ ?\?/", "a\\b \"q\" */ ?\?/" },
    { "gr\xc3\xb6\xc3\x9f" "e", "gr\xc3\xb6\xc3\x9f" "e" },
    { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
    { "a\nb\\c", "a\\x0ab\\x5cc" },
    { "\x1b[31m", "\\x1b[31m" },
    { "\xff\xc3", "\\xff\\xc3" },
    { "\xc0\x80", "\\xc0\\x80" },           /* overlong */
    { "\xed\xa0\x80", "\\xed\\xa0\\x80" },  /* a surrogate */
    { "\xc2\x85", "\\xc2\\x85" },           /* a control character */
    { "\xe2\x80\xa8", "\\xe2\\x80\\xa8" },  /* a line separator */
    { "\x7f", "\\x7f" },
};

START_TEST(odd_names)
{
    Onnx__ModelProto *m;
    Model model;
    Fixture f;

    fixture_open(&f);
    m = empty_model(&f);
    add_node(&f, m->graph, "Relu")->name = (char *)names[_i][0];
    ck_assert(load_packed_model(&f, m, &model));
    ck_assert_str_eq(model.graph.node[0].name, names[_i][1]);
    fixture_close(&f);
}
END_TEST

static void same_initializers(Fixture *f, Onnx__ModelProto *m)
{
    for (int i = 0; i < 2; i++)
        APPEND(f, m->graph->initializer, m->graph->n_initializer,
               raw_tensor(f, "w", 2, 1, "a", 1));
}

static void nameless_initializer(Fixture *f, Onnx__ModelProto *m)
{
    APPEND(f, m->graph->initializer, m->graph->n_initializer,
           raw_tensor(f, "", 2, 1, "a", 1));
}

static void sparse_initializer(Fixture *f, Onnx__ModelProto *m)
{
    Onnx__SparseTensorProto *s = NEW(f->arena, Onnx__SparseTensorProto);

    onnx__sparse_tensor_proto__init(s);
    s->values = raw_tensor(f, "w", 2, 1, "a", 1);
    APPEND(f, m->graph->sparse_initializer, m->graph->n_sparse_initializer,
           s);
}

static void no_graph(Fixture *f, Onnx__ModelProto *m)
{
    (void)f;
    m->graph = NULL;
}

static void future(Fixture *f, Onnx__ModelProto *m)
{
    (void)f;
    m->ir_version = 1000;
}

static void same_attributes(Fixture *f, Onnx__ModelProto *m)
{
    Onnx__NodeProto *n = add_node(f, m->graph, "Op");

    add_attr(f, n, "a", TYPE(INT));
    add_attr(f, n, "a", TYPE(INT));
}

static void no_tensor(Fixture *f, Onnx__ModelProto *m)
{
    add_attr(f, add_node(f, m->graph, "Op"), "a", TYPE(TENSOR));
}

static const struct {
    void (*spoil)(Fixture *f, Onnx__ModelProto *m);
    const char *message;
} spoils[] = {
    { same_initializers, "tensor 'w': two initializers have this name" },
    { nameless_initializer, "initializer 0 has no name" },
    { sparse_initializer, "tensor 'w': sparse initializers are not" },
    { no_graph, "not an ONNX model: it has no graph" },
    { future, "IR version 1000, the newest known is 14" },
    { same_attributes, "attribute 'a' stands twice" },
    { no_tensor, "(Op): attribute 'a': the tensor is missing" },
};

START_TEST(refused)
{
    Onnx__ModelProto *m;
    Model model;
    Fixture f;

    fixture_open(&f);
    m = empty_model(&f);
    spoils[_i].spoil(&f, m);
    ck_assert(!load_packed_model(&f, m, &model));
    expect_text(&f, spoils[_i].message);
    fixture_close(&f);
}
END_TEST

START_TEST(mistaken_files)
{
    static const char *const files[][2] = {
        { "PK\3\4 and so on", "hint: this is a zip archive" },
        { "version https://git-lfs.github.com/spec/v1\n", "Git LFS" },
        { "<!DOCTYPE html>", "a web page" },
        { "\x1c\1\1\1TFL3", "TensorFlow Lite" },
    };
    Fixture f;

    fixture_open(&f);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        ck_assert(!load_bytes(&f, files[i][0], strlen(files[i][0])));
        expect_text(&f, files[i][1]);
    }
    fixture_close(&f);
}
END_TEST

static const uint8_t *rich_model(Fixture *f, size_t *n)
{
    Onnx__ModelProto *m = empty_model(f);
    Onnx__TypeProto *t = tensor_type(f, 1);
    uint8_t *p;

    add_dim(f, t, 3, NULL);
    add_dim(f, t, 0, "batch");
    APPEND(f, m->graph->input, m->graph->n_input, value_info(f, "x"));
    m->graph->input[0]->type = t;
    APPEND(f, m->graph->initializer, m->graph->n_initializer,
           raw_tensor(f, "w", 2, 2, "ab", 2));
    add_one_of_each(f, add_node(f, m->graph, "Any"));
    *n = protobuf_c_message_get_packed_size(&m->base);
    p = arena_alloc(f->arena, *n);
    protobuf_c_message_pack(&m->base, p);
    return p;
}

START_TEST(damage)
{
    Fixture f;
    size_t n;
    const uint8_t *good;
    uint8_t *p;
    uint32_t seed = 1;

    fixture_open(&f);
    good = rich_model(&f, &n);
    ck_assert(load_bytes(&f, good, n));
    for (size_t k = 0; k < n; k++)
        load_bytes(&f, good, k);
    p = arena_memdup(f.arena, good, n);
    for (int i = 0; i < 2000; i++) {
        size_t at;
        seed = seed * 1664525 + 1013904223;
        at = (seed >> 8) % n;
        p[at] = (uint8_t)seed;
        load_bytes(&f, p, n);
        p[at] = good[at];
    }
    fixture_close(&f);
}
END_TEST

static bool load_again(Fixture *f, void *path)
{
    Model model;

    return onnx_load(path, f->arena, &f->diag, &model);
}

START_TEST(out_of_memory)
{
    const uint8_t *good;
    const char *path;
    Fixture f;
    size_t n;

    fixture_open(&f);
    good = rich_model(&f, &n);
    path = test_file("g.onnx", good, n);
    ck_assert_int_gt(test_out_of_memory(load_again, (void *)path), 2);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("load");
    TCase *t = tcase_create("load");

    tcase_add_test(t, constant_inputs);
    tcase_add_test(t, input_dims);
    tcase_add_test(t, input_problems);
    tcase_add_test(t, attributes);
    tcase_add_test(t, attribute_tensor_refused);
    tcase_add_test(t, functions);
    tcase_add_loop_test(t, odd_names, 0, sizeof names / sizeof *names);
    tcase_add_loop_test(t, refused, 0, sizeof spoils / sizeof *spoils);
    tcase_add_test(t, mistaken_files);
    tcase_add_test(t, damage);
    tcase_add_test(t, out_of_memory);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    return test_main(s);
}
