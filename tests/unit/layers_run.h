/* layers_run.h - the second half of layers.h: builds and compares. Needs
 * `static const Kind kinds[]`.
 */
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

/* What takes its time with many layers that do not depend on each other. */
#define PLANNING "schedule,overlap,stream,lean"

/* Every kind, its layers in graphs that are built in four ways: every eighth
 * a small one with all passes, the others large, their buffers not over each
 * other. */
START_TEST(generated_layers_are_equal)
{
    static const char *const flags[] = {
        GENERATED_STRICT, GENERATED_STRICT " -march=native",
        "-std=c99 -O3 -march=native", "-std=c99 -O2 -fno-strict-aliasing",
    };
    const char *more = getenv("MCUFC_LAYERS"), *only = getenv("MCUFC_KIND");
    int layers = more ? atoi(more) : LAYERS;
    int left = only && atoi(only) != _i ? 0 : layers;

    for (int i = 0; left > 0; i++) {
        bool planned = i % 8 == 0;
        int most = planned ? PER_PLANNED : PER_GRAPH;
        int n = left < most ? left : most;

        skipped_passes = planned ? NULL : PLANNING;
        build_flags = flags[(i + i / 8 + _i) % 4];
        compare((uint64_t)(1 + i + 1000 * _i), _i, n);
        left -= n;
    }
    if (more && (!only || atoi(only) == _i))
        fprintf(stderr, "%s: %d layers are equal\n", kinds[_i].name, layers);
}
END_TEST
