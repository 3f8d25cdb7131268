/* load_tool.c - loads ONNX files (.pb: one tensor), .npy and .npz, and says
 * what is in them; exit code 1 when one of them is refused. For the fuzzer,
 * and by hand:    load_tool [-q|-d] FILE...       -d: every tensor */
#include <stdio.h>
#include <string.h>

#include "../../frontend/model.h"
#include "../../support/npz.h"

typedef enum { QUIET, NORMAL, DETAILS } Level;

/* Reads every byte, so that a bad pointer shows. */
static uint64_t sum_bytes(const void *data, int64_t n)
{
    uint64_t h = 0;

    for (int64_t i = 0; i < n; i++)
        h = h * 31 + ((const uint8_t *)data)[i];
    return h;
}

static uint64_t show_tensor(const ModelTensor *t, Level level)
{
    uint64_t h = t->problem ? 0 : sum_bytes(t->data, type_bytes(&t->type));

    if (level < DETAILS)
        return h;
    printf("  %s %s [", t->name, dtype_name(t->type.dt));
    for (int i = 0; i < t->type.rank; i++)
        printf("%s%lld", i ? "," : "", (long long)t->type.dim[i]);
    printf("] %llx%s%s\n", (unsigned long long)h, t->problem ? " " : "",
           t->problem ? t->problem : "");
    return h;
}

static uint64_t show_graph(const ModelGraph *g, Level level)
{
    uint64_t h = 0;

    if (level > QUIET)
        printf("graph '%s': %d nodes, %d in, %d out, %d initializers\n",
               g->name, g->nnode, g->nin, g->nout, g->ninit);
    for (int i = 0; i < g->ninit; i++)
        h += show_tensor(&g->init[i], level);
    for (int i = 0; i < g->nnode; i++)
        for (int k = 0; k < g->node[i].nattr; k++) {
            const ModelAttr *a = &g->node[i].attr[k];
            if (a->kind == MA_TENSOR)
                h += show_tensor(a->t, level);
            else if (a->kind == MA_GRAPH)
                h += show_graph(a->g, level);
        }
    return h;
}

static bool load_npz(const char *path, Arena *arena, Diag *diag, Level level)
{
    NpyFile f;

    if (!npz_load(path, arena, diag, &f))
        return false;
    for (int i = 0; i < f.n; i++) {
        const NpyArray *a = &f.array[i];
        uint64_t h = a->problem ? 0 : sum_bytes(a->data, a->count * a->size);
        if (level > QUIET)
            printf("%s: array '%s' %c%d rank %d, %lld elements, %llx\n",
                   path, a->name, a->kind, a->size, a->rank,
                   (long long)a->count, (unsigned long long)h);
    }
    return true;
}

static bool load(const char *path, Arena *arena, Diag *diag, Level level)
{
    const char *dot = strrchr(path, '.');
    ModelTensor t;
    uint64_t h;
    Model m;

    if (dot && !strncmp(dot, ".np", 3))
        return load_npz(path, arena, diag, level);
    if (dot && !strcmp(dot, ".pb")) {
        if (!onnx_load_tensor(path, arena, diag, &t))
            return false;
        show_tensor(&t, level + 1);
        return true;
    }
    if (!onnx_load(path, arena, diag, &m))
        return false;
    h = show_graph(&m.graph, level);
    if (level > QUIET)
        printf("%s: IR version %lld, sum %llx\n", path,
               (long long)m.ir_version, (unsigned long long)h);
    return true;
}

/* In an arena of its own, so that many files do not add up. */
static bool load_freshly(const char *path, Level level)
{
    Diag diag = { .out = stdout };
    Arena *volatile arena = NULL;
    volatile bool ok = false;
    ArenaOom oom = { 0 };

    if (setjmp(oom.handler)) {
        printf("%s: error: out of memory\n", path);
    } else {
        arena = arena_new(&oom);
        ok = load(path, arena, &diag, level);
    }
    arena_free(arena);
    return ok;
}

int main(int argc, char **argv)
{
    Level level = NORMAL;
    int failed = 0, i = 1;

    if (argc > 1 && argv[1][0] == '-')
        level = argv[i++][1] == 'q' ? QUIET : DETAILS;
    for (; i < argc; i++)
        failed |= !load_freshly(argv[i], level);
    return failed;
}
