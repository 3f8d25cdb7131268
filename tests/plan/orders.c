/* orders.c - what the planner makes of generated networks.
 *
 *   orders              the table of doc/planning.md: peaks and arenas
 *   orders --times      buffers and milliseconds, for the plot in doc/
 *
 * Both are the passes schedule and plan as the compiler runs them, with the
 * checker of plans. Times are this machine's; everything else is the same on
 * all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../passes/passes.h"
#include "../unit/graphs.h"

static Maker maker;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void inception(Maker *m, int n)
{
    Value *x = make_input(m, 4096), *part[4];

    for (int i = 0; i < n; i++) {
        part[0] = make_conv(m, x, 1024);
        part[1] = make_conv(m, make_conv(m, x, 1536), 1024);
        part[2] = make_conv(m, make_conv(m, make_conv(m, x, 512), 2048),
                            1024);
        part[3] = make_conv(m, make_op(m, OP_MaxPool, 1, &x, bytes_of(x)),
                            1024);
        x = make_relu(m, make_concat(m, 4, part));
    }
    make_outputs(m);
}

static void nasnet(Maker *m, int n) { make_nasnet(m, n); }
static void randwire(Maker *m, int n) { make_randwire(m, n, 32); }
static void densenet(Maker *m, int n) { make_densenet(m, n, 8); }
static void unet(Maker *m, int n) { make_unet(m, n); }
static void heads(Maker *m, int n) { make_heads(m, n, 12); }
static void near(Maker *m, int n) { make_random(m, n, 12); }

typedef struct Kind {
    const char *name;
    void (*make)(Maker *m, int n);
    int n;                      /* cells, stages, blocks, levels, steps */
} Kind;

static const Kind kinds[] = {
    { "NASNet", nasnet, 1 }, { "NASNet", nasnet, 3 },
    { "NASNet", nasnet, 6 }, { "NASNet", nasnet, 12 },
    { "RandWire", randwire, 1 }, { "RandWire", randwire, 3 },
    { "DenseNet", densenet, 1 }, { "DenseNet", densenet, 4 },
    { "U-Net", unet, 3 }, { "U-Net", unet, 5 },
    { "Inception", inception, 1 }, { "Inception", inception, 9 },
    { "attention", heads, 1 }, { "attention", heads, 12 },
    { "random", near, 50 }, { "random", near, 200 },
    { "random", near, 1000 },
};

/* The planned graph; everything is in its arenas. */
static Graph *plan(const Kind *k, uint32_t seed, double *time, ArenaOom *oom)
{
    static Diag diag;
    PassOptions opt = { .bisect = -1 };
    Graph *g;
    double start;
    bool changed;

    diag.out = stderr;
    maker = (Maker){ .seed = seed };
    g = maker.g = graph_new(arena_new(oom), arena_new(oom), &diag);
    k->make(&maker, k->n);
    graph_tidy(g);
    arena_reset(g->scratch);
    start = seconds();
    if (!pass_schedule(g, &opt, &changed))
        exit(1);
    arena_reset(g->scratch);
    if (!pass_plan(g, &opt, &changed))
        exit(1);
    *time = seconds() - start;
    return g;
}

static void drop(Graph *g)
{
    Arena *a = g->arena;

    arena_free(g->scratch);
    arena_free(a);
}

static void one_row(const Kind *k, ArenaOom *oom)
{
    double ms;
    Graph *g = plan(k, 1, &ms, oom);
    const Plan *p = g->plan;

    printf("%-10s %3d %6d %10lld %10lld %10lld %10lld %6.1f%% %5.1f%% %8.1f"
           "\n", k->name, k->n, p->nsteps,
           (long long)g->model_order_bound, (long long)p->arena_bytes,
           (long long)p->bounds[0].bound, (long long)p->bounds[1].bound,
           100.0 * (double)(g->model_order_bound - p->arena_bytes) /
               (double)g->model_order_bound,
           100.0 * (double)(p->arena_bytes - p->bounds[1].bound) /
               (double)p->bounds[1].bound, ms * 1e3);
    drop(g);
}

static void table(ArenaOom *oom)
{
    puts("                         model's      arena      bound      bound  "
         " saved    gap       ms\n"
         "kind         n  steps      order             of order  of all");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        one_row(&kinds[i], oom);
}

typedef struct Sample {
    int nbuf;
    double ms, gap;
} Sample;

static int by_time(const void *a, const void *b)
{
    const Sample *x = a, *y = b;

    return (x->ms > y->ms) - (x->ms < y->ms);
}

/* The one in the middle of some: of the same graph for regular networks, of
 * as many graphs for random ones. */
static Sample middle(const Kind *k, ArenaOom *oom)
{
    enum { SAMPLES = 7 };
    Sample s[SAMPLES];

    for (int i = 0; i < SAMPLES; i++) {
        Graph *g = plan(k, 1 + (uint32_t)i * 7919u, &s[i].ms, oom);
        const Plan *p = g->plan;
        s[i].ms *= 1e3;
        s[i].nbuf = p->nbuf;
        s[i].gap = (double)(p->arena_bytes - p->bounds[1].bound) /
                   (double)p->bounds[1].bound;
        drop(g);
    }
    qsort(s, SAMPLES, sizeof *s, by_time);
    return s[SAMPLES / 2];
}

/* 10, 20, 50, 100, ... buffers of three kinds. */
static void times(ArenaOom *oom)
{
    static const int many[] = { 10, 20, 50, 100, 200, 500, 1000, 2000, 5000,
                                10000 };
    static const double per_unit[] = { 9, 72, 0.65 };
    Kind list[] = { { "Inception", inception, 0 },
                    { "attention", heads, 0 }, { "random", near, 0 } };

    puts("kind buffers ms gap");
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 10; i++) {
            Sample s;
            list[k].n = (int)((double)many[i] / per_unit[k]);
            if (!list[k].n)
                continue;
            s = middle(&list[k], oom);
            printf("%s %d %.3f %.4f\n", list[k].name, s.nbuf, s.ms, s.gap);
            fflush(stdout);
        }
}

int main(int argc, char **argv)
{
    static ArenaOom oom;

    if (setjmp(oom.handler)) {
        fputs("orders: out of memory\n", stderr);
        return 1;
    }
    if (argc == 2 && !strcmp(argv[1], "--times"))
        times(&oom);
    else
        table(&oom);
    return 0;
}
