/* run.c - --run: the reference interpreter on a file of inputs. */
#include <string.h>

#include "../support/npz.h"
#include "samples.h"

static void describe(const Type *t, NpyArray *a)
{
    DKind k = dtype_kind(t->dt);

    memset(a, 0, sizeof *a);
    a->kind = t->dt == DT_BF16 ? 'V' : k == DK_FLOAT ? 'f'
              : k == DK_INT ? 'i' : k == DK_UINT ? 'u' : 'b';
    a->size = dtype_bytes(t->dt);
    a->rank = t->rank;
    for (int i = 0; i < t->rank; i++)
        a->dim[i] = t->dim[i];
    a->count = type_elems(t);
}

/* Several samples stand along the batch dimension, or along a new axis. */
static void add_axis(NpyArray *a, int64_t n)
{
    if (n == 1)
        return;
    if (a->rank == 0 || a->dim[0] != 1) {
        memmove(a->dim + 1, a->dim, (size_t)a->rank * sizeof a->dim[0]);
        a->rank++;
    }
    a->dim[0] = n;
    a->count *= n;
}

static bool write_arrays(Compile *c, const char *path, int n,
                         const NpyArray *a)
{
    bool npy = has_suffix(path, ".npy");
    Buf b;

    if (npy && n > 1)
        return diag_error(c->diag, "the model has %d outputs: name a .npz, "
                          "or choose one with --outputs", n);
    buf_init(&b, c->arena);
    if (npy)
        npy_write(&b, a);
    else
        npz_write(&b, n, a);
    return write_file(c, path, write_buf, &b);
}

static void print_elem(DType dt, const void *p, int64_t k)
{
    if (dtype_is_float(dt))
        printf(" %.6g", elem_get(dt, p, k));
    else if (dt == DT_U64)
        printf(" %llu", (unsigned long long)((const uint64_t *)p)[k]);
    else
        printf(" %lld", (long long)elem_get_int(dt, p, k));
}

static void print_arrays(int n, const NpyArray *a, const Graph *g)
{
    for (int i = 0; i < n; i++) {
        printf("%s:", a[i].name);
        for (int64_t k = 0; k < a[i].count && k < 32; k++)
            print_elem(g->out[i]->type.dt, a[i].data, k);
        puts(a[i].count > 32 ? " ..." : "");
    }
}

int run_interpreter(Compile *c)
{
    Graph *g = c->g;
    Samples s = { 0 };
    NpyArray *a = NEW_ARRAY(c->arena, NpyArray, g->nout);
    Tensor *out = NEW_ARRAY(c->arena, Tensor, g->nout);

    if (!samples_load(c, g, c->opt->run, &s))
        return EXIT_BAD;
    for (int i = 0; i < g->nout; i++) {
        describe(&g->out[i]->type, &a[i]);
        a[i].name = value_label(g->out[i]);
        a[i].data = arena_alloc(c->arena, (size_t)(s.n * a[i].count *
                                                   a[i].size) + 8);
    }
    for (int k = 0; k < s.n; k++) {
        Arena *temp = c->g->arena;
        if (!graph_eval(g, s.list[k].in, out, temp, NULL, NULL))
            return EXIT_BAD;
        for (int i = 0; i < g->nout; i++) {
            int64_t bytes = type_bytes(&out[i].type);
            memcpy((char *)(uintptr_t)a[i].data + k * bytes, out[i].data,
                   (size_t)bytes);
        }
    }
    for (int i = 0; i < g->nout; i++)
        add_axis(&a[i], s.n);
    if (c->opt->output)
        return write_arrays(c, c->opt->output, g->nout, a) ? EXIT_OK
                                                           : EXIT_BAD;
    print_arrays(g->nout, a, g);
    return EXIT_OK;
}
