/* layers_run.h - the second half of layers.h: builds and compares. Needs
 * `static const Kind kinds[]`.
 */
#include "layers_tally.h"

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
    for (int i = 0; i < n->nout; i++)
        if (n->out[i])
            graph_add_output(r->g, n->out[i]);
    return true;
}

static uint64_t walk_state;

/* The plan has chosen the direction where result and operand overlap. */
static bool lies_apart(const Node *n)
{
    const Value *y = n->out[0];
    int64_t at = y->buf ? y->buf->offset + y->delta : 0;

    for (int i = 0; i < n->nin; i++) {
        const Value *x = n->in[i];
        int64_t from = x && x->buf ? x->buf->offset + x->delta : -1;
        if (from >= 0 && from < at + type_bytes(&y->type) &&
            at < from + type_bytes(&x->type) &&
            (from != at || !type_equal(&x->type, &y->type)))
            return false;
    }
    return true;
}

static void walk_backwards(Graph *g)
{
    for EACH_NODE(n, g) {
        walk_state = walk_state * UINT64_C(6364136223846793005) + 1;
        if (lies_apart(n))
            n->backward = walk_state >> 63;
    }
}

static int random_graph(Fixture *f, Random *r, uint64_t seed, const Kind *k,
                        int layers)
{
    int made = 0;

    memset(r, 0, sizeof *r);
    r->state = seed;
    r->g = graph_new(f->arena, f->scratch, &f->diag);
    r->g->after = k->converted ? NULL : LAYERS_AFTER;
    r->tame = k->converted;
    for (int i = 0; made < layers && i < 20 * layers; i++)
        made += add_layer(r, k->make);
    return made;
}

/* the first element that differs */
static void first_difference(const Tensor *want, const Tensor *got)
{
    DType dt = want->type.dt;
    int64_t n = type_elems(&want->type);

    for (int64_t i = 0; i < n; i++) {
        double a = elem_get(dt, want->data, i), b = elem_get(dt, got->data, i);
        if (a == b || (isnan(a) && isnan(b)))
            continue;
        fprintf(stderr, "  at %lld of %lld: %.9g, not %.9g\n", (long long)i,
                (long long)n, b, a);
        return;
    }
}

/* Codes are at most `off` apart. */
static bool is_near(const Tensor *a, const Tensor *b, int off)
{
    int64_t n = type_elems(&a->type);

    for (int64_t i = 0; i < n; i++)
        if (llabs(elem_get_int(a->type.dt, a->data, i) -
                  elem_get_int(b->type.dt, b->data, i)) > off)
            return false;
    return true;
}

/* Says which layers differ; how many. */
static int differences(const Graph *g, const Tensor *want, const Tensor *got,
                       int off)
{
    int count = 0;

    for (int i = 0; i < g->nout; i++) {
        Buf b;
        if ((off ? is_near(&want[i], &got[i], off)
                 : generated_agrees(&want[i], &got[i], 0)) || count++ >= 5)
            continue;
        buf_init(&b, g->arena);
        node_print(&b, g->out[i]->def);
        fprintf(stderr, "%s: result %d differs: %s\n", what_is_built, i, b.s);
        first_difference(&want[i], &got[i]);
    }
    return count;
}

static int compare(uint64_t seed, int kind, int layers, Tally *t)
{
    static Random ref, gen;
    Tensor *want, *got;
    Fixture f;
    int made;

    fixture_open(&f);
    made = random_graph(&f, &ref, seed, &kinds[kind], layers);
    ck_assert_int_eq(made, layers);
    random_graph(&f, &gen, seed, &kinds[kind], layers);
    want = NEW_ARRAY(f.arena, Tensor, ref.g->nout);
    got = NEW_ARRAY(f.arena, Tensor, ref.g->nout);
    walk_state = seed;
    ck_assert(graph_eval(ref.g, ref.in, want, f.arena, NULL, NULL));
    generated_run(&f, gen.g, gen.in, got);
    made = differences(ref.g, want, got, kinds[kind].converted);
    tally_graph(t, ref.g, want);
    fixture_close(&f);
    return made;
}

/* What takes its time with many layers that do not depend on each other. */
#define PLANNING "schedule,overlap,stream,lean"

/* How a graph of so many layers is built; with all passes, or large and its
 * buffers not over each other. Most of a sweep is the compiler's time: least
 * at -O0, where sanitizers see every operation as it is written, twice as
 * much with all of undefined behaviour as with that of integers, and with gcc
 * as with clang. Kernels have a body in plain C and others for SSE2, AVX2,
 * AVX-512 and VNNI: all are built.
 */
typedef struct Build {
    const char *flags;
    int layers;
    bool planned, clang;
} Build;

#define TRAPS "-std=c99 -O0 -fsanitize=address,signed-integer-overflow,"  \
    "shift,bounds -fsanitize-undefined-trap-on-error "
#define PLAIN "-U__SSE2__ "
#define NATIVE "-march=native "
#if defined(__x86_64__)
#define AVX2 "-march=native -mno-avx512f "
#define NO_VNNI "-march=native -mno-avx512vnni "
#else
#define AVX2 NATIVE
#define NO_VNNI NATIVE
#endif
#define SMALL(n, flags) { flags, n, true, false }
#define GCC(flags) { TRAPS flags, PER_GRAPH, false, false }
#define CLANG(flags) { TRAPS flags, PER_GRAPH, false, true }

static const Build builds[] = {
    SMALL(100, GENERATED_STRICT), CLANG(PLAIN), CLANG(NATIVE),
    SMALL(50, "-std=c99 -O3 " NATIVE), GCC(AVX2), CLANG(PLAIN),
    SMALL(100, "-std=c99 -O2 -fno-strict-aliasing"), CLANG(""), GCC(NATIVE),
    SMALL(100, GENERATED_STRICT " " NATIVE), CLANG(PLAIN), CLANG(AVX2),
    SMALL(50, "-std=c99 -O3 " PLAIN), CLANG(NATIVE), GCC(NO_VNNI),
    SMALL(100, GENERATED_STRICT " " PLAIN), CLANG(PLAIN), GCC(""),
    SMALL(50, "-std=c99 -O3 " AVX2), CLANG(NATIVE), CLANG(AVX2),
    { "-std=c99 -O3 -fno-inline", PER_GRAPH, false, false },
};

/* CC where it is set, else clang for the builds that are to have it */
static const char *compiler(const Build *b)
{
    static int has_clang = -1;

    if (getenv("CC"))
        return getenv("CC");
    if (has_clang < 0)
        has_clang = !system("command -v clang >/dev/null 2>&1");
    return b->clang && has_clang ? "clang" : "cc";
}

/* Every kind, its layers in graphs that are built in turn in all ways. */
START_TEST(generated_layers_are_equal)
{
    const char *more = getenv("MCUFC_LAYERS"), *only = getenv("MCUFC_KIND");
    const char *part = getenv("MCUFC_PART");
    int count = sizeof builds / sizeof *builds;
    int layers = more ? atoi(more) : LAYERS;
    int left = only && atoi(only) != _i ? 0 : layers;
    Tally t = { .tame = kinds[_i].converted };
    int differ = 0;

    for (int i = 0; left > 0; i++) {
        const Build *b = &builds[(i + 3 * (_i % 7)) % count];
        int n = left < b->layers ? left : b->layers;

        left -= n;
        if (part && atoi(part) != i)
            continue;
        skipped_passes = b->planned ? NULL : PLANNING;
        build_cc = compiler(b);
        build_flags = b->flags;
        snprintf(what_is_built, sizeof what_is_built, "%s, MCUFC_KIND=%d "
                 "MCUFC_PART=%d MCUFC_LAYERS=%d, %s %s", kinds[_i].name, _i,
                 i, layers, build_cc, b->flags);
        differ += compare((uint64_t)(1 + i + 1000 * _i), _i, n, &t);
    }
    ck_assert_msg(!differ, "%s: %d results differ", kinds[_i].name, differ);
    if (more && t.layers)
        tally_show(&t, kinds[_i].name);
    if (t.layers >= 1000)
        tally_check(&t, kinds[_i].name);
}
END_TEST
