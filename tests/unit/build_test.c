/* build_test.c - from what a file says to a graph: dimensions, names, order,
 * functions, branches, loops, outputs; what is refused and how. */
#include "test.h"

#include "../../frontend/model.h"

enum { MOST = 16 };

/* A model that is written down in a test. Nodes are "out,out = Op(in,in)". */
typedef struct Sketch {
    Fixture f;
    Model m;
    ModelOpset opset;
    ModelNode node[MOST];
    ModelInfo in[MOST], out[MOST];
    ModelTensor init[MOST];
    Graph *g;
} Sketch;

static void sketch_open(Sketch *s)
{
    memset(s, 0, sizeof *s);
    fixture_open(&s->f);
    s->opset = (ModelOpset){ "", 21 };
    s->m.nopset = 1;
    s->m.opset = &s->opset;
    s->m.graph.name = "g";
    s->m.graph.node = s->node;
    s->m.graph.in = s->in;
    s->m.graph.out = s->out;
    s->m.graph.init = s->init;
}

static void sketch_close(Sketch *s)
{
    fixture_close(&s->f);
}

static const char *copy(Sketch *s, const char *from, size_t n)
{
    return arena_strndup(s->f.arena, from, n);
}

/* "a,b" into an array of names; "" is no name */
static const char **names(Sketch *s, const char *list, size_t n, int *count)
{
    const char **v = NEW_ARRAY(s->f.arena, const char *, MOST);
    const char *end = list + n;

    for (*count = 0; list < end; list++) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        size_t len = (size_t)((comma ? comma : end) - list);
        v[(*count)++] = copy(s, list, len);
        list += len;
    }
    return v;
}

static ModelNode *node_in_sketch(Sketch *s, ModelNode *n, const char *text)
{
    const char *eq = strstr(text, " = "), *open = strchr(text, '(');
    const char *op = eq + 3, *dot = strrchr(copy(s, op, (size_t)(open - op)),
                                            '.');

    *n = (ModelNode){ .name = "", .domain = "", .overload = "" };
    n->op = copy(s, op, (size_t)(open - op));
    if (dot) {
        n->domain = copy(s, op, strlen(n->op) - strlen(dot));
        n->op = dot + 1;
    }
    n->out = names(s, text, (size_t)(eq - text), &n->nout);
    n->in = names(s, open + 1, strlen(open + 1) - 1, &n->nin);
    n->attr = NEW_ARRAY(s->f.arena, ModelAttr, MOST);
    return n;
}

static ModelNode *node(Sketch *s, const char *text)
{
    return node_in_sketch(s, &s->node[s->m.graph.nnode++], text);
}

static ModelAttr *attr(ModelNode *n, const char *name, ModelAttrKind kind)
{
    ModelAttr *a = &n->attr[n->nattr++];

    a->name = name;
    a->kind = kind;
    return a;
}

/* dims as text: "n,3,?" */
static ModelInfo info(Sketch *s, const char *name, DType dt, const char *dims)
{
    ModelInfo v = { .name = name, .dt = dt };
    const char **part = names(s, dims, strlen(dims), &v.rank);

    v.dim = NEW_ARRAY(s->f.arena, ModelDim, v.rank + 1);
    for (int i = 0; i < v.rank; i++) {
        char *end;
        v.dim[i].value = strtoll(part[i], &end, 10);
        if (*end) {
            v.dim[i].value = -1;
            v.dim[i].symbol = *part[i] == '?' ? NULL : part[i];
        }
    }
    return v;
}

static void input(Sketch *s, const char *name, const char *dims)
{
    s->in[s->m.graph.nin++] = info(s, name, DT_F32, dims);
}

static void output(Sketch *s, const char *name)
{
    ModelInfo *v = &s->out[s->m.graph.nout++];

    *v = info(s, name, DT_F32, "");
    v->rank = -1;
}

static void constant(Sketch *s, const char *name, int n, const int64_t *v)
{
    ModelTensor *t = &s->init[s->m.graph.ninit++];

    t->name = name;
    t->type = type_vector(DT_I64, n);
    t->data = arena_memdup(s->f.arena, v, (size_t)n * sizeof *v);
}

static bool build(Sketch *s, const BuildOptions *opt)
{
    s->g = graph_new(s->f.arena, s->f.scratch, &s->f.diag);
    return model_build(&s->m, opt, s->g) && graph_verify(s->g);
}

static void expect_refused(Sketch *s, const BuildOptions *opt,
                           const char *message)
{
    ck_assert(!build(s, opt));
    expect_text(&s->f, message);
}

/* The ops of the graph in order: "Add Mul". */
static void expect_ops(Sketch *s, const char *ops)
{
    Buf b;

    buf_init(&b, s->f.arena);
    for EACH_NODE (n, s->g)
        buf_printf(&b, "%s%s", b.n ? " " : "", op_name(n->op));
    ck_assert_str_eq(b.n ? b.s : "", ops);
}

static void expect_type(const Value *v, const char *type)
{
    Fixture f;
    Buf b;

    fixture_open(&f);
    buf_init(&b, f.arena);
    type_print(&b, &v->type);
    ck_assert_str_eq(b.s, type);
    fixture_close(&f);
}

START_TEST(batch_is_one)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "n,3");
    input(&s, "z", "2,n");      /* the same symbol elsewhere */
    node(&s, "y = Relu(x)");
    node(&s, "w = Relu(z)");
    output(&s, "y");
    output(&s, "w");
    ck_assert(build(&s, NULL));
    expect_text(&s.f, "note: input 'x': dimension 'n' is taken as 1");
    expect_type(s.g->out[0], "float[1,3]");
    expect_type(s.g->out[1], "float[2,1]");
    sketch_close(&s);
}
END_TEST

START_TEST(dims_are_bound)
{
    DimBinding axis = { "x:1", 7, false, NULL };
    DimBinding symbol = { "n", 5, false, &axis };
    BuildOptions opt = { .dims = &symbol };
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "n,?,n + 1,2*n,(n - 1)//2");
    node(&s, "y = Relu(x)");
    output(&s, "y");
    ck_assert(build(&s, &opt));
    expect_type(s.g->out[0], "float[5,7,6,10,2]");
    ck_assert(axis.used && symbol.used);
    sketch_close(&s);
}
END_TEST

START_TEST(outputs_are_given_lengths)
{
    DimBinding rows = { "y:0", 5, false, NULL };
    BuildOptions opt = { .dims = &rows };
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "8");
    node(&s, "y = Unique(x)");
    s.out[s.m.graph.nout++] = info(&s, "y", DT_F32, "?");
    ck_assert(build(&s, &opt));
    expect_type(s.g->out[0], "float[5]");
    expect_refused(&s, NULL, "depends on the run-time value of 'x'");
    sketch_close(&s);
}
END_TEST

START_TEST(open_dims_are_refused)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "1,seq,?");
    node(&s, "y = Relu(x)");
    output(&s, "y");
    expect_refused(&s, NULL, "input 'x': dimension 1 is 'seq', which has no "
                   "number\nhint: --dim seq=128");
    expect_text(&s.f, "hint: --dim x:2=128");
    sketch_close(&s);
}
END_TEST

START_TEST(unused_bindings_are_refused)
{
    DimBinding typo = { "sequ", 5, false, NULL };
    BuildOptions opt = { .dims = &typo };
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "seq");
    node(&s, "y = Relu(x)");
    output(&s, "y");
    expect_refused(&s, &opt, "--dim sequ=5: the model has no such dimension"
                   "\nhint: its symbolic dimensions: seq");
    sketch_close(&s);
}
END_TEST

START_TEST(contradicting_bindings_are_refused)
{
    DimBinding b = { "x:1", 4, false, NULL };
    BuildOptions opt = { .dims = &b };
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "1,3");
    node(&s, "y = Relu(x)");
    output(&s, "y");
    expect_refused(&s, &opt, "--dim x:1=4: the model says 3");
    sketch_close(&s);
}
END_TEST

START_TEST(any_order_is_taken)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    node(&s, "y = Neg(b)");
    node(&s, "b = Exp(a)");
    node(&s, "a = Relu(x)");
    output(&s, "y");
    ck_assert(build(&s, NULL));
    expect_ops(&s, "Relu Exp Neg");
    sketch_close(&s);
}
END_TEST

START_TEST(cycles_are_refused)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    node(&s, "a = Add(x,b)");
    node(&s, "b = Relu(a)");
    node(&s, "y = Relu(x)");
    output(&s, "y");
    expect_refused(&s, NULL, "(Relu): is part of a cycle");
    sketch_close(&s);
}
END_TEST

START_TEST(unknown_names_are_refused)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    node(&s, "y = Add(x,nowhere)");
    output(&s, "y");
    expect_refused(&s, NULL, "node 'Add_y' (Add): input 'nowhere' is not "
                   "defined");
    sketch_close(&s);
}
END_TEST

START_TEST(double_names_are_refused)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    node(&s, "y = Relu(x)");
    node(&s, "y = Exp(x)");
    output(&s, "y");
    expect_refused(&s, NULL, "node 'Exp_y' (Exp): defines 'y' again");
    sketch_close(&s);
}
END_TEST

START_TEST(made_up_names_avoid_the_model)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    node(&s, "y = Relu(x)")->name = "z";
    node(&s, "z = Exp(y)")->name = "y";
    output(&s, "z");
    ck_assert(build(&s, NULL));
    ck_assert_str_eq(s.g->first->out[0]->name, "y");
    ck_assert_str_eq(s.g->out[0]->name, "z");
    sketch_close(&s);
}
END_TEST

START_TEST(outputs_are_computed_and_distinct)
{
    static const int64_t two[] = { 1, 2 };
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    constant(&s, "c", 2, two);
    node(&s, "y = Relu(x)");
    node(&s, "z = Identity(y)");
    output(&s, "x");
    output(&s, "c");
    output(&s, "y");
    output(&s, "z");
    ck_assert(build(&s, NULL));
    expect_ops(&s, "Relu Identity Identity Identity");
    for (int i = 0; i < 4; i++) {
        ck_assert_ptr_nonnull(s.g->out[i]->def);
        for (int k = 0; k < i; k++)
            ck_assert_ptr_ne(s.g->out[i], s.g->out[k]);
    }
    ck_assert_str_eq(s.g->out[3]->name, "z");
    sketch_close(&s);
}
END_TEST

START_TEST(only_wanted_outputs)
{
    const char *want[] = { "b" };
    BuildOptions opt = { .outputs = { 1, want } };
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    node(&s, "a = NoSuchOp(x)");        /* not needed for b */
    node(&s, "b = Relu(x)");
    output(&s, "a");
    output(&s, "b");
    ck_assert(build(&s, &opt));
    expect_ops(&s, "Relu");
    ck_assert_int_eq(s.g->nout, 1);
    want[0] = "q";
    expect_refused(&s, &opt, "the model has no output 'q'\nhint: its outputs:"
                   " a b");
    sketch_close(&s);
}
END_TEST

START_TEST(wrong_declarations_are_told)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    node(&s, "y = Relu(x)");
    s.out[s.m.graph.nout++] = info(&s, "y", DT_F32, "3");
    ck_assert(build(&s, NULL));
    expect_text(&s.f, "warning: output 'y' is declared as float[3] and is "
                "float[2]");
    sketch_close(&s);
}
END_TEST

START_TEST(shape_arithmetic_folds)
{
    static const int64_t zero[] = { 0 }, rest[] = { -1 };
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "n,3,4");
    constant(&s, "zero", 1, zero);
    constant(&s, "rest", 1, rest);
    node(&s, "s = Shape(x)");
    node(&s, "b = Gather(s,zero)");
    attr(node(&s, "t = Concat(b,rest)"), "axis", MA_INT);
    node(&s, "y = Reshape(x,t)");
    output(&s, "y");
    ck_assert(build(&s, NULL));
    expect_ops(&s, "Reshape");
    expect_type(s.g->out[0], "float[1,12]");
    sketch_close(&s);
}
END_TEST

START_TEST(unknown_attributes_are_refused)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    attr(node(&s, "y = Relu(x)"), "slope", MA_INT);
    output(&s, "y");
    expect_refused(&s, NULL, "attribute 'slope' is not known");
    sketch_close(&s);
}
END_TEST

START_TEST(kinds_of_attributes)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    attr(node(&s, "y = Softmax(x)"), "axis", MA_STRING)->s = "0";
    output(&s, "y");
    expect_refused(&s, NULL, "attribute 'axis' is a string, must be an int");
    sketch_close(&s);
}
END_TEST

START_TEST(required_attributes)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    node(&s, "y = Cast(x)");
    output(&s, "y");
    expect_refused(&s, NULL, "node 'Cast_y' (Cast): attribute 'to' is "
                   "missing");
    sketch_close(&s);
}
END_TEST

START_TEST(every_unknown_op_is_told)
{
    Sketch s;
    Buf lines;

    sketch_open(&s);
    input(&s, "x", "2");
    node(&s, "a = NoSuchOp(x)")->name = "first";
    node(&s, "b = RandomUniformLike(x)");
    node(&s, "c = my.domain.Op(b)");
    node(&s, "y = Add(a,c)");
    output(&s, "y");
    expect_refused(&s, NULL, "node 'first' (NoSuchOp): is not supported");
    expect_text(&s.f, "(RandomUniformLike): draws random numbers");
    expect_text(&s.f, "(my.domain.Op): domain 'my.domain' is not supported");
    buf_init(&lines, s.f.arena);
    ck_assert_int_eq(model_unsupported(&s.m, s.f.arena, &lines), 3);
    ck_assert_ptr_nonnull(strstr(lines.s, "node 'first' (NoSuchOp): is"));
    sketch_close(&s);
}
END_TEST

START_TEST(opsets_from_the_future_are_refused)
{
    Sketch s;

    sketch_open(&s);
    s.opset.version = 1000;
    input(&s, "x", "2");
    node(&s, "y = Relu(x)");
    output(&s, "y");
    expect_refused(&s, NULL, "opset 1000 is newer than");
    sketch_close(&s);
}
END_TEST

static ModelFunction *function(Sketch *s, const char *name, const char *in,
                               const char *out, int n, ModelNode *node)
{
    ModelFunction *f, *all = NEW_ARRAY(s->f.arena, ModelFunction, MOST);

    if (s->m.nfunction)
        memcpy(all, s->m.function, sizeof *all * (size_t)s->m.nfunction);
    s->m.function = all;
    f = &all[s->m.nfunction++];
    f->domain = "f";
    f->name = name;
    f->overload = "";
    f->in = names(s, in, strlen(in), &f->nin);
    f->out = names(s, out, strlen(out), &f->nout);
    f->nnode = n;
    f->node = node;
    f->nopset = 1;
    f->opset = &s->opset;
    return f;
}

START_TEST(functions_are_inlined)
{
    static const char *alpha[] = { "slope" };
    static ModelAttr usual = { .name = "slope", .kind = MA_FLOAT, .f = 0.5f };
    ModelNode inner[1], outer[2];
    ModelFunction *f;
    Sketch s;

    sketch_open(&s);
    attr(node_in_sketch(&s, &inner[0], "b = LeakyRelu(a)"), "alpha",
         MA_FLOAT)->ref = "slope";
    f = function(&s, "Inner", "a", "b", 1, inner);
    f->nattr = 1;
    f->attr = alpha;
    f->ndefault = 1;
    f->fallback = &usual;
    node_in_sketch(&s, &outer[0], "t = f.Inner(a)");
    attr(node_in_sketch(&s, &outer[1], "b = f.Inner(t)"), "slope",
         MA_FLOAT)->f = 0.25f;
    function(&s, "Outer", "a", "b", 2, outer);
    input(&s, "x", "2");
    node(&s, "y = f.Outer(x)")->name = "call";
    output(&s, "y");
    ck_assert(build(&s, NULL));
    expect_ops(&s, "LeakyRelu LeakyRelu");
    ck_assert(ATTRS(alpha001, s.g->first)->alpha == 0.5f);
    ck_assert(ATTRS(alpha001, s.g->last)->alpha == 0.25f);
    ck_assert_str_eq(s.g->out[0]->name, "y");
    ck_assert_ptr_eq(strstr(s.g->first->name, "call/"), s.g->first->name);
    sketch_close(&s);
}
END_TEST

START_TEST(recursion_is_refused)
{
    ModelNode body[1];
    Sketch s;

    sketch_open(&s);
    node_in_sketch(&s, &body[0], "b = f.Self(a)");
    function(&s, "Self", "a", "b", 1, body);
    input(&s, "x", "2");
    node(&s, "y = f.Self(x)");
    output(&s, "y");
    expect_refused(&s, NULL, "(f.Self): function calls itself");
    sketch_close(&s);
}
END_TEST

/* Each function calls the one before eight times: 8^9 nodes. */
START_TEST(growth_is_bounded)
{
    static ModelNode call[10][8];
    Sketch s;

    sketch_open(&s);
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 8; k++)
            node_in_sketch(&s, &call[i][k],
                           arena_printf(s.f.arena, "v%d = %s%.0d(v%d)", k + 1,
                                        i ? "f.F" : "Relu", i, k));
        function(&s, arena_printf(s.f.arena, "F%d", i + 1), "v0", "v8", 8,
                 call[i]);
    }
    input(&s, "x", "2");
    node(&s, "y = f.F10(x)");
    output(&s, "y");
    expect_refused(&s, NULL, "more than 100000 nodes");
    sketch_close(&s);
}
END_TEST

static ModelGraph *body(Sketch *s, const char *in, const char *out, int n,
                        ModelNode *node)
{
    ModelGraph *g = NEW(s->f.arena, ModelGraph);
    const char **name;

    g->name = "body";
    g->node = node;
    g->nnode = n;
    g->in = NEW_ARRAY(s->f.arena, ModelInfo, MOST);
    g->out = NEW_ARRAY(s->f.arena, ModelInfo, MOST);
    name = names(s, in, strlen(in), &g->nin);
    for (int i = 0; i < g->nin; i++)
        g->in[i] = (ModelInfo){ .name = name[i], .rank = -1 };
    name = names(s, out, strlen(out), &g->nout);
    for (int i = 0; i < g->nout; i++)
        g->out[i] = (ModelInfo){ .name = name[i], .rank = -1 };
    return g;
}

static void branches(Sketch *s, ModelNode *n)
{
    ModelNode *node = NEW_ARRAY(s->f.arena, ModelNode, 2);

    node_in_sketch(s, &node[0], "r = Relu(x)");   /* x is outside */
    node_in_sketch(s, &node[1], "r = Neg(x)");
    attr(n, "then_branch", MA_GRAPH)->g = body(s, "", "r", 1, &node[0]);
    attr(n, "else_branch", MA_GRAPH)->g = body(s, "", "r", 1, &node[1]);
}

START_TEST(constant_branch)
{
    static const int64_t no[] = { 0 };
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    constant(&s, "cond", 1, no);
    branches(&s, node(&s, "y = If(cond)"));
    output(&s, "y");
    ck_assert(build(&s, NULL));
    expect_ops(&s, "Neg");
    sketch_close(&s);
}
END_TEST

START_TEST(run_time_branch)
{
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    s.in[s.m.graph.nin++] = info(&s, "cond", DT_BOOL, "");
    branches(&s, node(&s, "y = If(cond)"));
    output(&s, "y");
    ck_assert(build(&s, NULL));
    expect_ops(&s, "Relu Neg Where");
    sketch_close(&s);
}
END_TEST

START_TEST(loops_are_unrolled)
{
    static const int64_t three[] = { 3 };
    ModelNode turn[2];
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    constant(&s, "n", 1, three);
    node_in_sketch(&s, &turn[0], "go = Identity(cond)");
    node_in_sketch(&s, &turn[1], "next = Exp(v)");
    attr(node(&s, "y,all = Loop(n,,x)"), "body", MA_GRAPH)->g =
        body(&s, "i,cond,v", "go,next,next", 2, turn);
    output(&s, "y");
    output(&s, "all");
    ck_assert(build(&s, NULL));
    expect_ops(&s, "Exp Exp Exp Reshape Reshape Reshape Concat");
    expect_type(s.g->out[1], "float[3,2]");
    sketch_close(&s);
}
END_TEST

START_TEST(endless_loops_are_refused)
{
    static const int64_t many[] = { INT64_MAX };
    ModelNode turn[1];
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "2");
    constant(&s, "n", 1, many);
    node_in_sketch(&s, &turn[0], "next = Identity(v)");
    attr(node(&s, "y = Loop(n,,x)"), "body", MA_GRAPH)->g =
        body(&s, "i,cond,v", "cond,next", 1, turn);
    output(&s, "y");
    expect_refused(&s, NULL, "(Loop): more than 4096 turns");
    sketch_close(&s);
}
END_TEST

START_TEST(old_softmax_is_a_matrix)
{
    Sketch s;

    sketch_open(&s);
    s.opset.version = 11;
    input(&s, "x", "2,3,4");
    node(&s, "y = Softmax(x)");
    output(&s, "y");
    ck_assert(build(&s, NULL));
    expect_ops(&s, "Reshape Softmax Reshape");
    sketch_close(&s);
}
END_TEST

START_TEST(old_attributes_are_operands)
{
    static int64_t axes[] = { 0 };
    ModelNode *n;
    Sketch s;

    sketch_open(&s);
    s.opset.version = 11;
    input(&s, "x", "1,3");
    n = node(&s, "y = Squeeze(x)");
    attr(n, "axes", MA_INTS)->ints = (Ints){ 1, axes };
    output(&s, "y");
    ck_assert(build(&s, NULL));
    expect_type(s.g->out[0], "float[3]");
    s.opset.version = 13;
    expect_refused(&s, NULL, "attribute 'axes' is not known");
    sketch_close(&s);
}
END_TEST

static bool build_once(Fixture *f, void *user)
{
    const Sketch *s = user;

    return model_build(&s->m, NULL,
                       graph_new(f->arena, f->scratch, &f->diag));
}

START_TEST(out_of_memory)
{
    static const int64_t shape[] = { 0, -1 };
    Sketch s;

    sketch_open(&s);
    input(&s, "x", "n,3,4");
    constant(&s, "shape", 2, shape);
    branches(&s, node(&s, "t = If(shape)"));
    node(&s, "u = Sum(x,x,x)");
    node(&s, "y = Relu(u)");
    output(&s, "y");
    ck_assert_int_gt(test_out_of_memory(build_once, &s), 2);
    sketch_close(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("build");
    TCase *t = tcase_create("build");

    tcase_add_test(t, batch_is_one);
    tcase_add_test(t, dims_are_bound);
    tcase_add_test(t, outputs_are_given_lengths);
    tcase_add_test(t, open_dims_are_refused);
    tcase_add_test(t, unused_bindings_are_refused);
    tcase_add_test(t, contradicting_bindings_are_refused);
    tcase_add_test(t, any_order_is_taken);
    tcase_add_test(t, cycles_are_refused);
    tcase_add_test(t, unknown_names_are_refused);
    tcase_add_test(t, double_names_are_refused);
    tcase_add_test(t, made_up_names_avoid_the_model);
    tcase_add_test(t, outputs_are_computed_and_distinct);
    tcase_add_test(t, only_wanted_outputs);
    tcase_add_test(t, wrong_declarations_are_told);
    tcase_add_test(t, shape_arithmetic_folds);
    tcase_add_test(t, unknown_attributes_are_refused);
    tcase_add_test(t, kinds_of_attributes);
    tcase_add_test(t, required_attributes);
    tcase_add_test(t, every_unknown_op_is_told);
    tcase_add_test(t, opsets_from_the_future_are_refused);
    tcase_add_test(t, functions_are_inlined);
    tcase_add_test(t, recursion_is_refused);
    tcase_add_test(t, growth_is_bounded);
    tcase_add_test(t, constant_branch);
    tcase_add_test(t, run_time_branch);
    tcase_add_test(t, loops_are_unrolled);
    tcase_add_test(t, endless_loops_are_refused);
    tcase_add_test(t, old_softmax_is_a_matrix);
    tcase_add_test(t, old_attributes_are_operands);
    tcase_add_test(t, out_of_memory);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return test_main(suite());
}
