/* axis_ops_test.c - reductions, normalizations, indexed movement: random
 * shapes, types and attributes, generated C against the interpreter. Run-time
 * indices are also far out of range: both clamp, and the sanitizers watch.
 * MCUFC_LONG=N runs N graphs instead of 3.
 */
#include "generated.h"

#include "../../ir/ops/reduce.h"

enum { NODES = 40, MAX_INPUTS = 6 * NODES };

typedef struct Random {
    Graph *g;
    uint64_t state;
    Tensor in[MAX_INPUTS];      /* data of g->in */
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

static DType pick(Random *r, int n, const DType *list)
{
    return list[below(r, n)];
}

#define PICK(r, ...)                                                      \
    pick(r, (int)(sizeof(DType[]){ __VA_ARGS__ } / sizeof(DType)),        \
         (DType[]){ __VA_ARGS__ })
#define FLOATS DT_F32, DT_F32, DT_F64, DT_F16, DT_BF16
#define WIDE DT_I32, DT_I64, DT_U32, DT_U64
#define ANY FLOATS, WIDE, DT_I8, DT_U8, DT_I16, DT_U16, DT_BOOL

/* Small dims, sometimes one that crosses a kernel's tile, rarely none. */
static Type shape(Random *r, DType dt, int rank, bool may_be_empty)
{
    static const int large[] = { 15, 16, 17, 33, 64, 70, 131 };
    Type t = { dt, rank, { 0 } };

    for (int i = 0; i < rank; i++)
        t.dim[i] = 1 + below(r, 4);
    if (rank && one_in(r, 3))
        t.dim[below(r, rank)] = large[below(r, 7)];
    if (rank && may_be_empty && one_in(r, 25))
        t.dim[below(r, rank)] = 0;
    return t;
}

static void *numbers(Random *r, const Type *t, int low, int high)
{
    static const double special[] = { NAN, INFINITY, -INFINITY };
    int64_t n = type_elems(t);
    void *p = arena_alloc(r->g->arena, (size_t)type_bytes(t) + 16);

    for (int64_t i = 0; i < n; i++)
        if (dtype_is_float(t->dt))
            elem_set(t->dt, p, i, low + (high - low) * below(r, 1000) * 1e-3);
        else
            elem_set_int(t->dt, p, i, low + below(r, high - low + 1));
    if (n && dtype_is_float(t->dt) && one_in(r, 8))
        elem_set(t->dt, p, below(r, (int)n), special[below(r, 3)]);
    return p;
}

static Value *input(Random *r, Type t, void *data)
{
    Value *v = graph_value(r->g, "x", t);

    graph_add_input(r->g, v);
    r->in[r->g->nin - 1] = (Tensor){ t, data };
    return v;
}

/* A run-time or constant operand of numbers within [low, high]. */
static Value *operand(Random *r, Type t, int low, int high)
{
    void *p = numbers(r, &t, low, high);

    return one_in(r, 3) ? graph_const(r->g, "c", t, p) : input(r, t, p);
}

static Value *ints(Random *r, int n, const int64_t *v)
{
    return graph_const_ints(r->g, "k", n, v);
}

/* Indices in [-n, n), or run-time ones from far outside. */
static Value *indices(Random *r, Type t, int64_t n)
{
    int wild = one_in(r, 6) ? 100 : 0;

    return wild ? input(r, t, numbers(r, &t, -wild, wild))
                : operand(r, t, (int)-n, (int)n - 1);
}

static int axis(Random *r, int rank)
{
    return below(r, 2 * rank) - rank;
}

static int positive(int a, int rank)
{
    return a < 0 ? a + rank : a;
}

/* One node of each family */

static Node *node(Random *r, Op op, int nin, Value **in, int nout)
{
    return node_new(r->g, op, op_name(op), nin, in, nout);
}

static Node *make_reduce(Random *r)
{
    Op op = (Op)(OP_ReduceSum + below(r, OP_ReduceSumSquare - OP_ReduceSum +
                                         1));
    bool order = op == OP_ReduceMax || op == OP_ReduceMin;
    bool log = op == OP_ReduceLogSum || op == OP_ReduceLogSumExp;
    DType dt = order ? PICK(r, ANY) : log ? PICK(r, FLOATS)
                                          : PICK(r, FLOATS, WIDE);
    Type t = shape(r, dt, below(r, 6), op != OP_ReduceMean);
    Value *in[2] = { operand(r, t, log, 2), NULL };
    int64_t a[MAX_RANK];
    int n = 0;
    Node *node_;

    for (int i = 0; i < t.rank; i++)
        if (one_in(r, 2))
            a[n++] = one_in(r, 2) ? i : i - t.rank;
    in[1] = ints(r, n, a);
    node_ = node(r, op, one_in(r, 8) ? 1 : 2, in, 1);
    ATTRS(reduce, node_)->keepdims = below(r, 2);
    ATTRS(reduce, node_)->noop_with_empty_axes = below(r, 2);
    return node_;
}

static Node *make_argmax(Random *r)
{
    Type t = shape(r, PICK(r, ANY), 1 + below(r, 4), false);
    Value *x = operand(r, t, -2, 2);
    Node *n = node(r, one_in(r, 2) ? OP_ArgMax : OP_ArgMin, 1, &x, 1);

    ATTRS(argmax, n)->axis = axis(r, t.rank);
    ATTRS(argmax, n)->keepdims = below(r, 2);
    ATTRS(argmax, n)->select_last_index = below(r, 2);
    return n;
}

static Node *make_cumsum(Random *r)
{
    Type t = shape(r, PICK(r, FLOATS, WIDE), 1 + below(r, 4), true);
    int64_t a = axis(r, t.rank);
    Value *in[2] = { operand(r, t, -2, 2), ints(r, 1, &a) };
    Node *n = node(r, OP_CumSum, 2, in, 1);

    ATTRS(cumsum, n)->exclusive = below(r, 2);
    ATTRS(cumsum, n)->reverse = below(r, 2);
    return n;
}

static Node *make_topk(Random *r)
{
    Type t = shape(r, PICK(r, ANY), 1 + below(r, 4), false);
    int a = axis(r, t.rank);
    int64_t k = below(r, (int)t.dim[positive(a, t.rank)] + 1);
    Value *in[2] = { operand(r, t, -2, 2), ints(r, 1, &k) };
    Node *n = node(r, OP_TopK, 2, in, 2);

    ATTRS(topk, n)->axis = a;
    ATTRS(topk, n)->largest = below(r, 2);
    return n;
}

static Node *make_softmax(Random *r)
{
    static const Op ops[] = { OP_Softmax, OP_LogSoftmax, OP_Hardmax };
    Type t = shape(r, PICK(r, FLOATS), 1 + below(r, 4), true);
    Value *x = operand(r, t, -5, 5);
    Node *n = node(r, ops[below(r, 3)], 1, &x, 1);

    ATTRS(axisneg1, n)->axis = axis(r, t.rank);
    return n;
}

/* scale or bias: the normalized dims, or some of them 1, or fewer dims */
static Value *factor(Random *r, const Type *x, int axis_)
{
    Type t = { x->dt, x->rank - axis_, { 0 } };

    for (int i = 0; i < t.rank; i++)
        t.dim[i] = one_in(r, 6) ? 1 : x->dim[axis_ + i];
    if (one_in(r, 6))
        t.rank = 0;
    return operand(r, t, -2, 2);
}

static Node *make_layernorm(Random *r)
{
    bool rms = one_in(r, 3);
    Type t = shape(r, PICK(r, FLOATS), 1 + below(r, 4), true);
    int a = axis(r, t.rank), from = positive(a, t.rank);
    Value *in[3] = { operand(r, t, -3, 5), factor(r, &t, from),
                     factor(r, &t, from) };
    Node *n = node(r, rms ? OP_RMSNormalization : OP_LayerNormalization,
                   rms || one_in(r, 2) ? 2 : 3, in,
                   rms || one_in(r, 2) ? 1 : 3);

    ATTRS(layernorm, n)->axis = a;
    ATTRS(layernorm, n)->epsilon = 0.125f;
    return n;
}

static Node *make_channelnorm(Random *r)
{
    static const Op ops[] = { OP_BatchNormalization,
                              OP_InstanceNormalization,
                              OP_GroupNormalization };
    Op op = ops[below(r, 3)];
    Type t = shape(r, PICK(r, FLOATS), 2 + below(r, 3), false), c;
    Value *in[5];
    Node *n;

    t.dim[1] += t.dim[1] % 2;
    c = type_vector(t.dt, t.dim[1]);
    in[0] = operand(r, t, -3, 5);
    for (int i = 1; i < 5; i++)
        in[i] = operand(r, c, i == 4 ? 1 : -2, 3);
    n = node(r, op, op == OP_BatchNormalization ? 5 : 3, in, 1);
    if (op == OP_GroupNormalization) {
        ATTRS(groupnorm, n)->num_groups = t.dim[1] / 2;
        ATTRS(groupnorm, n)->epsilon = 0.125f;
    } else if (op == OP_InstanceNormalization) {
        ATTRS(instancenorm, n)->epsilon = 0.125f;
    }
    return n;
}

static Node *make_lrn(Random *r)
{
    Type t = shape(r, PICK(r, FLOATS), 2 + below(r, 3), false);
    Value *x = operand(r, t, -3, 3);
    bool lp = one_in(r, 2);
    Node *n = node(r, lp ? OP_LpNormalization : OP_LRN, 1, &x, 1);

    if (lp) {
        ATTRS(lpnorm, n)->axis = axis(r, t.rank);
        ATTRS(lpnorm, n)->p = 1 + below(r, 2);
    } else {
        ATTRS(lrn, n)->size = 1 + below(r, 9);
        ATTRS(lrn, n)->alpha = 0.25f;
        ATTRS(lrn, n)->beta = one_in(r, 2) ? 0.75f : 0.5f;
    }
    return n;
}

static Node *make_gather(Random *r)
{
    Type t = shape(r, PICK(r, ANY), 1 + below(r, 3), false);
    int a = axis(r, t.rank);
    Type k = shape(r, PICK(r, DT_I32, DT_I64), below(r, 3), true);
    Value *in[2] = { operand(r, t, -9, 9),
                     indices(r, k, t.dim[positive(a, t.rank)]) };
    Node *n = node(r, OP_Gather, 2, in, 1);

    ATTRS(axis0, n)->axis = a;
    return n;
}

/* GatherElements or ScatterElements */
static Node *make_elements(Random *r)
{
    static const char *const how[] = { "none", "add", "mul", "max", "min" };
    Type t = shape(r, PICK(r, ANY), 1 + below(r, 4), false), k = t, u;
    int a = axis(r, t.rank), at = positive(a, t.rank);
    bool scatter = one_in(r, 2);
    Value *in[3];
    Node *n;

    for (int i = 0; i < t.rank; i++)
        k.dim[i] = 1 + below(r, (int)t.dim[i]);
    k.dt = PICK(r, DT_I32, DT_I64);
    u = k;
    u.dt = t.dt;
    in[0] = operand(r, t, -3, 3);
    in[1] = indices(r, k, t.dim[at]);
    in[2] = operand(r, u, -3, 3);
    n = node(r, scatter ? OP_ScatterElements : OP_GatherElements,
             scatter ? 3 : 2, in, 1);
    if (!scatter) {
        ATTRS(axis0, n)->axis = a;
        return n;
    }
    ATTRS(scatterelements, n)->axis = a;
    ATTRS(scatterelements, n)->reduction =
        how[dtype_bits(t.dt) == 16 && dtype_is_float(t.dt) ? 0 : below(r, 5)];
    return n;
}

/* GatherND or ScatterND */
static Node *make_nd(Random *r)
{
    static const char *const how[] = { "none", "add", "mul", "max", "min" };
    Type t = shape(r, PICK(r, ANY), 1 + below(r, 4), false), k = t, u = t;
    bool scatter = one_in(r, 2);
    int batch = scatter ? 0 : below(r, t.rank), extra = below(r, 2);
    int tuple = 1 + below(r, t.rank - batch);
    int64_t least = t.dim[batch];
    Value *in[3];
    Node *n;

    k.dt = DT_I64;
    k.rank = batch + extra;
    for (int i = batch; i < batch + extra; i++)
        k.dim[i] = below(r, 5);
    for (int i = batch; i < batch + tuple; i++)
        least = t.dim[i] < least ? t.dim[i] : least;
    k.dim[k.rank++] = tuple;
    u = k;
    u.dt = t.dt;
    u.rank--;
    for (int i = tuple; scatter && i < t.rank; i++)
        u.dim[u.rank++] = t.dim[i];
    in[0] = operand(r, t, -3, 3);
    in[1] = indices(r, k, least);
    in[2] = scatter ? operand(r, u, -3, 3) : NULL;
    n = node(r, scatter ? OP_ScatterND : OP_GatherND, scatter ? 3 : 2, in, 1);
    if (scatter)
        ATTRS(scatternd, n)->reduction =
            how[dtype_bits(t.dt) == 16 && dtype_is_float(t.dt)
                    ? 0 : below(r, 5)];
    else
        ATTRS(gathernd, n)->batch_dims = batch;
    return n;
}

static Node *make_tensorscatter(Random *r)
{
    Type t = shape(r, PICK(r, ANY), 2 + below(r, 3), false), u = t, k;
    int a = 1 + below(r, t.rank - 1);
    Value *in[3];
    Node *n;

    u.dim[a] = below(r, (int)t.dim[a] + 1);
    k = type_vector(DT_I64, t.dim[0]);
    in[0] = operand(r, t, -9, 9);
    in[1] = operand(r, u, -9, 9);
    in[2] = input(r, k, numbers(r, &k, one_in(r, 3) ? -50 : 0,
                                one_in(r, 3) ? 50 : 1));
    n = node(r, OP_TensorScatter, one_in(r, 5) ? 2 : 3, in, 1);
    ATTRS(tensorscatter, n)->axis = one_in(r, 2) ? a : a - t.rank;
    ATTRS(tensorscatter, n)->mode = one_in(r, 2) ? "linear" : "circular";
    return n;
}

static Node *make_onehot(Random *r)
{
    Type k = shape(r, PICK(r, DT_F32, DT_F64, WIDE, DT_I8, DT_U8),
                   below(r, 3), true);
    int64_t depth = 1 + below(r, 6);
    Value *in[3] = { operand(r, k, dtype_kind(k.dt) == DK_UINT ? 0 : -9, 9),
                     ints(r, 1, &depth),
                     operand(r, type_vector(PICK(r, ANY), 2), -9, 9) };
    Node *n = node(r, OP_OneHot, 3, in, 1);

    ATTRS(onehot, n)->axis = axis(r, k.rank + 1);
    return n;
}

static Node *(*const makers[])(Random *) = {
    make_reduce, make_reduce, make_argmax, make_cumsum, make_topk,
    make_softmax, make_layernorm, make_channelnorm, make_lrn, make_gather,
    make_elements, make_nd, make_tensorscatter, make_onehot,
};

/* Constants that decide shapes become run-time inputs now and then: the
 * result then has the type it was found to have, as if declared. */
static void free_constants(Random *r, Node *n)
{
    for (int i = 1; i < n->nin; i++)
        if (value_is_const(n->in[i]) && one_in(r, 3)) {
            void *data = (void *)(uintptr_t)n->in[i]->data;
            node_set_input(n, i, input(r, n->in[i]->type, data));
        }
}

static void add_node(Fixture *f, Random *r)
{
    Node *n = makers[below(r, sizeof makers / sizeof *makers)](r);

    graph_append(r->g, n);
    for (int pass = 0; pass < 2; pass++) {
        ck_assert_msg(node_infer(r->g, n), "%s",
                      (fflush(f->diag.out), f->text));
        if (!pass)
            free_constants(r, n);
    }
    for (int i = 0; i < n->nout; i++)
        graph_add_output(r->g, n->out[i]);
}

static void random_graph(Fixture *f, Random *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    r->state = seed;
    r->g = graph_new(f->arena, f->scratch, &f->diag);
    for (int i = 0; i < NODES; i++)
        add_node(f, r);
}

static double bound(const Node *n, DType dt)
{
    double eps = dt == DT_BF16 ? 0x1p-7 : dt == DT_F16 ? 0x1p-10 : 0;

    return eps + (n->op == OP_ReduceProd ? 1e-4 : 2e-5);
}

static void compare(uint64_t seed)
{
    static Random ref, gen;
    Tensor *want, *got;
    Fixture f;

    fixture_open(&f);
    random_graph(&f, &ref, seed);
    random_graph(&f, &gen, seed);
    want = NEW_ARRAY(f.arena, Tensor, ref.g->nout);
    got = NEW_ARRAY(f.arena, Tensor, ref.g->nout);
    ck_assert(graph_eval(ref.g, ref.in, want, f.arena, NULL, NULL));
    generated_run(&f, gen.g, gen.in, got);
    for (int i = 0; i < ref.g->nout; i++) {
        const Node *n = ref.g->out[i]->def;
        ck_assert_msg(generated_agrees(&want[i], &got[i],
                                       bound(n, want[i].type.dt)),
                      "seed %llu: output %d of %s differs",
                      (unsigned long long)seed, i, n->name);
    }
    fixture_close(&f);
}

START_TEST(generated_code_agrees)
{
    const char *more = getenv("MCUFC_LONG");
    int graphs = more ? atoi(more) : 3;

    for (int seed = 1; seed <= (graphs > 3 ? graphs : 3); seed++)
        compare((uint64_t)seed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("axis ops");
    TCase *t = tcase_create("random");

    tcase_set_timeout(t, 3600);
    tcase_add_test(t, generated_code_agrees);
    suite_add_tcase(s, t);
    return test_main(s);
}
