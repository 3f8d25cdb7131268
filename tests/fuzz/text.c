/* text.c - changed texts: none may crash, hang or leak, and what is read must
 * keep the law: print, read, build and print again gives the same bytes.
 *
 * usage: text [-n COUNT] [-s SEED] [-i ONE] FILE.mcu...
 * Change number I of a seed is the same on every machine; -i runs that one
 * and prints it first.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "../../frontend/model.h"
#include "../../passes/passes.h"

enum { MAX_SIZE = 1 << 16, SECONDS = 10 };    /* of CPU time */

typedef struct Seed { const char *path; char *s; size_t n; } Seed;

static Seed *seeds;
static int nseed;
static uint64_t state;
static long current;            /* change being run, for the handler */
static char text[MAX_SIZE];
static size_t size;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t below(size_t n)
{
    return n ? (size_t)(next() % n) : 0;
}

static const char *const words[] = {
    "repeat i = 0..3 {", "}", "{", "(", ")", "<", ">", "[", "]", ",", "=",
    "=>", "@", "\"", "\\", "${i}", "${", "const N = 4\n", "N", "i", "#",
    "//", "-1", "9223372036854775807", "1e999", "nan", "-inf", "0x", "?",
    "float", "int4", "float16[", "seq(", "@zeros", "@random(1)", "@q(",
    "@q(0.5, 1)", "@q({1, 2}, 0, 0)", "@q(nan", "i8", "u4[2] @q(0, 1)",
    "@at(0)", "@at(8)", "@at(1099511627768)", "@scratch(0, 8)",
    "region r @over(4, 2) {", "@along(0)", "@\"text.mcu:0,4\"", "* 2", "/ 0", "% 3",
    ": ints = []", "mcufc.", "Relu", "Reshape", "If", "Constant", "Loop",
    "opset_import: [\"\" : 28, \"mcufc\" : 1]", "[,]", "\n", " ", "0", "8",
    "\"mcufc.state:x\": \"y\"", "\"mcufc.plan\": \"1 2 3 4 5 6\"",
};

static void replace(size_t at, size_t cut, const char *with, size_t n)
{
    if (at > size)
        at = size;
    if (cut > size - at)
        cut = size - at;
    if (size - cut + n >= MAX_SIZE)
        return;
    memmove(text + at + n, text + at + cut, size - at - cut);
    memcpy(text + at, with, n);
    size = size - cut + n;
}

static void change(void)
{
    size_t at = below(size + 1), n = below(40);
    const Seed *other = &seeds[below((size_t)nseed)];
    const char *word = words[below(sizeof words / sizeof words[0])];
    char c = (char)next(), piece[4096];

    switch (below(8)) {
    case 0: replace(at, 1, &c, 1); break;
    case 1: replace(at, n, "", 0); break;
    case 2: replace(at, 0, word, strlen(word)); break;
    case 3: replace(at, n, word, strlen(word)); break;
    case 4:                     /* a piece of another text */
        n = below(200);
        at = below(other->n);
        if (n > other->n - at)
            n = other->n - at;
        memcpy(piece, other->s + at, n);
        replace(below(size + 1), below(20), piece, n);
        break;
    case 5:                     /* a piece of itself */
        n = below(100);
        if (n > size - at)
            n = size - at;
        memcpy(piece, text + at, n);
        replace(below(size + 1), 0, piece, n);
        break;
    case 6:                     /* a digit */
        for (size_t i = at; i < size; i++)
            if (text[i] >= '0' && text[i] <= '9') {
                text[i] = (char)('0' + below(10));
                break;
            }
        break;
    default: replace(at, 1, at < size ? &text[below(size)] : " ", 1); break;
    }
}

static void make(uint64_t seed, long i)
{
    const Seed *s;

    state = (seed << 40 ^ (uint64_t)i) * 0x9e3779b97f4a7c15u | 1;
    for (int k = 0; k < 8; k++)
        next();
    s = &seeds[below((size_t)nseed)];
    size = s->n < MAX_SIZE ? s->n : MAX_SIZE - 1;
    memcpy(text, s->s, size);
    for (size_t k = 1 + below(4); k; k--)
        change();
}

static Graph *build(const char *s, size_t n, Arena *arena, Diag *diag)
{
    FileBytes bytes = { (uint8_t *)(uintptr_t)s, n };
    Arena *scratch = arena_child(arena);
    Graph *g = graph_new(arena, scratch, diag);
    Model m;

    if (!text_read("tests/fuzz/text.mcu", bytes, arena, diag, &m))
        return NULL;
    memcpy(g->hash, m.hash, sizeof g->hash);
    return model_build(&m, NULL, g) ? g : NULL;
}

/* A digit more in a shape makes megabytes of random weights. */
static bool is_large(const Graph *g)
{
    int64_t bytes = 0;

    for (int i = 0; i < g->nvalue; i++)
        if (value_is_const(g->value[i]))
            bytes += type_bytes(&g->value[i]->type);
    return bytes > 1 << 20;
}

/* Placements of the text are the text's business, good or bad. */
static void plan(Graph *g)
{
    PassOptions opt = { .only = "plan", .bisect = -1 };
    Diag mute = { .out = NULL };
    bool changed;

    g->diag = &mute;
    if (g->placed)
        (void)pass_plan(g, &opt, &changed);
}

/* 0: refused, 1: the law holds, 2: it does not */
static int run(Arena *arena)
{
    PrintOptions po = { .inline_weights = true, .plan = true };
    Diag mute = { .out = NULL }, loud = { .out = stdout };
    Graph *g = build(text, size, arena, &mute);
    Buf once, twice;

    if (!g)
        return 0;
    if (!graph_verify(g))
        return 2;
    if (is_large(g))
        return 0;
    buf_init(&once, arena);
    graph_print(&once, g, &po);
    g = build(once.s, once.n, arena, &loud);
    buf_init(&twice, arena);
    if (g)
        graph_print(&twice, g, &po);
    if (g && !strcmp(once.s, twice.s)) {
        plan(g);
        return 1;
    }
    printf("---- printed once\n%s---- printed again\n%s", once.s, twice.s);
    return 2;
}

static int try(void)
{
    static const struct itimerval limit = { .it_value = { SECONDS, 0 } };
    static const struct itimerval none;
    ArenaOom oom = { .limit = (size_t)512 << 20 };
    Arena *volatile arena = NULL;
    int result;

    if (setjmp(oom.handler)) {
        arena_free(arena);
        return 0;
    }
    arena = arena_new(&oom);
    setitimer(ITIMER_PROF, &limit, NULL);
    result = run(arena);
    setitimer(ITIMER_PROF, &none, NULL);
    arena_free(arena);
    return result;
}

static void on_signal(int sig)
{
    char line[100];
    int n = snprintf(line, sizeof line, "FAIL text: signal %d in change %ld\n",
                     sig, current);

    if (write(1, line, (size_t)n) < 0)
        _exit(3);
    _exit(1);
}

static void read_seed(const char *path)
{
    FILE *f = fopen(path, "rb");
    Seed s = { path, NULL, 0 };

    if (!f)
        return;
    s.s = malloc(MAX_SIZE);
    s.n = s.s ? fread(s.s, 1, MAX_SIZE - 1, f) : 0;
    fclose(f);
    if (s.n)
        seeds[nseed++] = s;
}

int main(int argc, char **argv)
{
    long count = 10000, first = 0, held = 0, refused = 0, bad = 0;
    uint64_t seed = 1;
    int opt;

    while ((opt = getopt(argc, argv, "n:s:i:")) != -1) {
        if (opt == 'n')
            count = atol(optarg);
        else if (opt == 's')
            seed = (uint64_t)atoll(optarg);
        else
            first = atol(optarg), count = 1;
    }
    seeds = calloc((size_t)argc, sizeof *seeds);
    for (int i = optind; seeds && i < argc; i++)
        read_seed(argv[i]);
    if (!nseed)
        return fputs("no texts\n", stderr), 2;
    signal(SIGPROF, on_signal);
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    signal(SIGFPE, on_signal);
    for (current = first; current < first + count; current++) {
        int r;
        make(seed, current);
        if (count == 1)
            printf("%.*s\n----\n", (int)size, text), fflush(stdout);
        r = try();
        held += r == 1;
        refused += r == 0;
        if (r == 2) {
            printf("FAIL text: the law is broken by change %ld\n", current);
            if (++bad == 10)
                break;
        }
    }
    printf("%ld refused, %ld read and printed, %ld broken\n", refused, held,
           bad);
    for (int i = 0; i < nseed; i++)
        free(seeds[i].s);
    free(seeds);
    return bad != 0;
}
