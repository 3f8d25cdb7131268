/* load_tool.c - loads ONNX files (.pb: one tensor) and says what is in them;
 * exit code 1 when one of them is refused. For the fuzzer, and by hand. */
#include <stdio.h>
#include <string.h>

#include "../../frontend/model.h"

static void show_graph(const ModelGraph *g)
{
    int64_t bytes = 0;

    for (int i = 0; i < g->ninit; i++)
        if (!g->init[i].problem)
            bytes += type_bytes(&g->init[i].type);
    printf("graph '%s': %d nodes, %d in, %d out, %d initializers of %lld "
           "bytes\n", g->name, g->nnode, g->nin, g->nout, g->ninit,
           (long long)bytes);
}

static uint64_t sum_bytes(const ModelTensor *t)
{
    int64_t n = t->problem ? 0 : type_bytes(&t->type);
    uint64_t h = 0;

    for (int64_t i = 0; i < n; i++)
        h = h * 31 + ((const uint8_t *)t->data)[i];
    return h;
}

static bool load(const char *path, Arena *arena, Diag *diag, bool quiet)
{
    const char *dot = strrchr(path, '.');
    ModelTensor t;
    uint64_t h = 0;
    Model m;

    if (dot && !strcmp(dot, ".pb")) {
        if (!onnx_load_tensor(path, arena, diag, &t))
            return false;
        h = sum_bytes(&t);
        if (!quiet)
            printf("%s: tensor '%s' rank %d sum %llx %s\n", path, t.name,
                   t.type.rank, (unsigned long long)h,
                   t.problem ? t.problem : "");
        return true;
    }
    if (!onnx_load(path, arena, diag, &m))
        return false;
    for (int i = 0; i < m.graph.ninit; i++)
        h += sum_bytes(&m.graph.init[i]);
    if (!quiet) {
        printf("%s: ir %lld sum %llx ", path, (long long)m.ir_version,
               (unsigned long long)h);
        show_graph(&m.graph);
    }
    return true;
}

int main(int argc, char **argv)
{
    bool quiet = argc > 1 && !strcmp(argv[1], "-q");
    volatile int failed = 0;
    ArenaOom oom = { 0 };

    for (volatile int i = 1 + quiet; i < argc; i++) {
        Diag diag = { .out = stdout };
        Arena *volatile arena = NULL;
        if (setjmp(oom.handler)) {
            printf("%s: out of memory\n", argv[i]);
            failed = 1;
        } else {
            arena = arena_new(&oom);
            if (!load(argv[i], arena, &diag, quiet))
                failed = 1;
        }
        arena_free(arena);
    }
    return failed;
}
