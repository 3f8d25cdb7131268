/* samples.c - inputs for --run and --verify, from files or made up. */
#include "samples.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../ir/ops/quant.h"
#include "../support/npz.h"

static DType array_dtype(const NpyArray *a)
{
    static const struct { char kind; int size; DType dt; } rows[] = {
        { 'f', 2, DT_F16 }, { 'f', 4, DT_F32 }, { 'f', 8, DT_F64 },
        { 'i', 1, DT_I8 }, { 'i', 2, DT_I16 }, { 'i', 4, DT_I32 },
        { 'i', 8, DT_I64 }, { 'u', 1, DT_U8 }, { 'u', 2, DT_U16 },
        { 'u', 4, DT_U32 }, { 'u', 8, DT_U64 }, { 'b', 1, DT_BOOL },
        { 'V', 2, DT_BF16 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].kind == a->kind && rows[i].size == a->size)
            return rows[i].dt;
    return DT_NONE;
}

static void print_dims(Buf *b, const int64_t *dim, int rank)
{
    for (int i = 0; i < rank; i++)
        buf_printf(b, "%s%lld", i ? "," : "", (long long)dim[i]);
}

/* How many samples the array holds for a value of type t; -1: none fits. */
static int64_t count_samples(const NpyArray *a, const Type *t)
{
    int extra = a->rank - t->rank;
    bool exact = extra == 0;

    if (extra == 1) {           /* one more axis in front */
        for (int i = 0; i < t->rank; i++)
            if (a->dim[i + 1] != t->dim[i])
                return -1;
        return a->dim[0];
    }
    if (extra != 0)
        return type_elems(t) == a->count && a->count == 1 ? 1 : -1;
    for (int i = 0; i < t->rank; i++)
        exact = exact && a->dim[i] == t->dim[i];
    if (exact)
        return 1;
    if (t->rank < 1 || t->dim[0] != 1)
        return -1;
    for (int i = 1; i < t->rank; i++)
        if (a->dim[i] != t->dim[i])
            return -1;
    return a->dim[0];
}

/* Floats for a value that takes codes (--io quantized): on its own grid. */
static bool on_grid(const Value *v, DType from)
{
    return dtype_is_float(from) && quant_fits(v->quant, &v->type) &&
           v->quant->n == 1;
}

static void set_elem(const Value *v, void *out, int64_t i, DType from,
                     const void *p)
{
    DType dt = v->type.dt;

    if (on_grid(v, from))
        elem_set_int(dt, out, i,
                     quant_round((float)elem_get(from, p, i) /
                                 v->quant->scale[0],
                                 v->quant->zero_point[0], dt));
    else if (dtype_is_float(from))
        elem_set(dt, out, i, elem_get(from, p, i));
    else
        elem_set_int(dt, out, i, elem_get_int(from, p, i));
}

/* The elements at p, of v's type: converted where need be. */
static void *converted(Compile *c, const Value *v, DType from, const void *p)
{
    const Type *t = &v->type;
    void *out;

    if (from == t->dt)
        return arena_memdup(c->arena, p, (size_t)type_bytes(t));
    out = arena_alloc(c->arena, (size_t)type_bytes(t) + 8);
    for (int64_t i = 0; i < type_elems(t); i++)
        set_elem(v, out, i, from, p);
    return out;
}

/* Sample k of an array. */
static void *slice(Compile *c, const NpyArray *a, const Value *v, int64_t k)
{
    return converted(c, v, array_dtype(a), (const char *)a->data +
                     k * type_elems(&v->type) * a->size);
}

/* Channels last where the model takes them first? */
static bool is_camera_order(const NpyArray *a, const Type *t)
{
    return a->rank == 4 && t->rank == 4 && a->dim[1] == t->dim[2] &&
           a->dim[2] == t->dim[3] && a->dim[3] == t->dim[1];
}

static void wrong_shape(Compile *c, const char *path, const NpyArray *a,
                        const Type *t)
{
    Buf b;

    buf_init(&b, c->scratch);
    buf_puts(&b, "has shape [");
    print_dims(&b, a->dim, a->rank);
    buf_puts(&b, "], the model takes [");
    print_dims(&b, t->dim, t->rank);
    buf_puts(&b, "]");
    diag_error(c->diag, "%s: array '%s' %s", path, a->name, b.s);
    if (is_camera_order(a, t)) {
        diag_hint(c->diag, "the channels are last in the file; in Python: "
                  "x.transpose(0, 3, 1, 2)");
        return;
    }
    buf_init(&b, c->scratch);
    print_dims(&b, t->dim, t->rank);
    diag_hint(c->diag, "N samples are an array [N,%s]%s", b.s,
              t->rank && t->dim[0] == 1 ? ", also without the 1" : "");
}

static void wrong_dtype(Compile *c, const char *path, const NpyArray *a,
                        const Value *v, DType dt)
{
    diag_error(c->diag, "%s: array '%s' is %s, the model takes %s", path,
               a->name, dt ? dtype_name(dt) : "of another kind",
               dtype_name(v->type.dt));
    if (dt == DT_U8 && v->is_input && v->type.dt == DT_F32)
        diag_hint(c->diag, "--input-norm MEAN,STD makes the input uint8");
    else if (dt)
        diag_hint(c->diag, "in Python: x.astype('%s')",
                  v->type.dt == DT_F32 ? "float32" : dtype_name(v->type.dt));
}

static bool check_array(Compile *c, const char *path, const NpyArray *a,
                        const Value *v, int64_t *count)
{
    DType dt = array_dtype(a);

    if (a->problem)
        return diag_error(c->diag, "%s: array '%s': %s", path, a->name,
                          a->problem);
    if (dt == DT_NONE || (dtype_is_float(dt) != dtype_is_float(v->type.dt) &&
                          !on_grid(v, dt))) {
        wrong_dtype(c, path, a, v, dt);
        return false;
    }
    *count = count_samples(a, &v->type);
    if (*count < 0)
        wrong_shape(c, path, a, &v->type);
    return *count >= 0;
}

static Sample *add_sample(Compile *c, Graph *g, Samples *s, const char *from)
{
    Sample one = { NEW_ARRAY(c->arena, Tensor, g->nin), NULL, from };

    for (int i = 0; i < g->nin; i++)
        one.in[i].type = g->in[i]->type;
    PUSH(c->arena, s->list, s->n, s->cap, one);
    return &s->list[s->n - 1];
}

/* What is in the file; numpy's own names are arr_0, arr_1... */
static void name_arrays(Compile *c, const NpyFile *f, const char *wanted)
{
    Buf b;

    buf_init(&b, c->scratch);
    for (int i = 0; i < f->n && i < 8; i++)
        buf_printf(&b, "%s'%s'", i ? ", " : "", f->array[i].name);
    if (f->n)
        diag_hint(c->diag, "it holds %s%s; in Python: np.savez(FILE, "
                  "**{'%s': array})", b.s, f->n > 8 ? "..." : "", wanted);
}

static const NpyArray *array_for(Compile *c, const NpyFile *f,
                                 const char *path, const Graph *g, int i)
{
    const NpyArray *a = npz_find(f, g->in[i]->name);

    if (!a && g->nin == 1 && f->n == 1 && !f->is_npz)
        a = &f->array[0];
    if (!a) {
        diag_error(c->diag, "%s: no array is named '%s', as the input is",
                   path, g->in[i]->name);
        name_arrays(c, f, g->in[i]->name);
    }
    return a;
}

bool samples_load(Compile *c, Graph *g, const char *path, Samples *out)
{
    const NpyArray **a = NEW_ARRAY(c->arena, const NpyArray *, g->nin);
    int64_t n = 1, count = 1;
    NpyFile f;

    if (g->nin == 0) {          /* nothing to read: `--run -` */
        add_sample(c, g, out, path);
        return true;
    }
    if (!npz_load(path, c->arena, c->diag, &f))
        return false;
    if (!f.is_npz && g->nin > 1)
        return diag_error(c->diag, "%s: the model has %d inputs: give a .npz"
                          " with one array for each", path, g->nin);
    for (int i = 0; i < g->nin; i++) {
        a[i] = array_for(c, &f, path, g, i);
        if (!a[i] || !check_array(c, path, a[i], g->in[i], &count))
            return false;
        if (i && count != n)
            return diag_error(c->diag, "%s: array '%s' holds %lld samples, "
                              "'%s' %lld", path, a[0]->name, (long long)n,
                              a[i]->name, (long long)count);
        n = count;
    }
    for (int64_t k = 0; k < n; k++) {
        Sample *s = add_sample(c, g, out, path);
        for (int i = 0; i < g->nin; i++)
            s->in[i].data = slice(c, a[i], g->in[i], k);
    }
    return true;
}

static bool no_sample(Compile *c, const char *path, const Value *v)
{
    diag_error(c->diag, "%s: there is no array s0_in__%s", path, v->name);
    diag_hint(c->diag, "what --verify compares with are arrays s0_in__INPUT,"
              " s0_out__OUTPUT, s1_in__... in .npz files, or folders "
              "test_data_set_N as ONNX has them");
    return false;
}

static bool load_golden(Compile *c, Graph *g, const char *path, Samples *out)
{
    NpyFile f;

    if (!npz_load(path, c->arena, c->diag, &f))
        return false;
    for (int k = 0;; k++) {
        Sample *s;
        int64_t one;
        const char *fmt = "s%d_in__%s";
        if (g->nin && !npz_find(&f, arena_printf(c->scratch, fmt, k,
                                                 g->in[0]->name)))
            return k > 0 || no_sample(c, path, g->in[0]);
        s = add_sample(c, g, out, path);
        s->want = NEW_ARRAY(c->arena, Tensor, g->nout);
        for (int i = 0; i < g->nin + g->nout; i++) {
            bool in = i < g->nin;
            const Value *v = in ? g->in[i] : g->out[i - g->nin];
            const NpyArray *a = npz_find(
                &f, arena_printf(c->scratch, in ? "s%d_in__%s"
                                                : "s%d_out__%s", k,
                                in ? v->name : value_label(v)));
            Tensor *t = in ? &s->in[i] : &s->want[i - g->nin];
            if (!a && in)
                return diag_error(c->diag, "%s: there is no array s%d_in__%s",
                                  path, k, v->name);
            if (!a)
                continue;
            if (!check_array(c, path, a, v, &one))
                return false;
            t->type = v->type;
            t->data = slice(c, a, v, 0);
        }
        if (!g->nin)
            return true;
    }
}

static bool load_pb(Compile *c, const char *path, const Value *v, Tensor *t)
{
    ModelTensor m;

    if (!onnx_load_tensor(path, c->arena, c->diag, &m))
        return false;
    if ((m.type.dt != v->type.dt && !on_grid(v, m.type.dt)) ||
        type_elems(&m.type) != type_elems(&v->type))
        return diag_error(c->diag, "%s does not fit '%s'", path, v->name);
    t->type = v->type;
    t->data = converted(c, v, m.type.dt, m.data);
    return true;
}

static bool exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

static bool load_test_set(Compile *c, Graph *g, const char *dir, Samples *out)
{
    Sample *s = add_sample(c, g, out, dir);

    s->want = NEW_ARRAY(c->arena, Tensor, g->nout);
    for (int i = 0; i < g->nin; i++)
        if (!load_pb(c, arena_printf(c->arena, "%s/input_%d.pb", dir, i),
                     g->in[i], &s->in[i]))
            return false;
    for (int i = 0; i < g->nout; i++) {
        const char *path = arena_printf(c->arena, "%s/output_%d.pb", dir, i);
        if (exists(path) && !load_pb(c, path, g->out[i], &s->want[i]))
            return false;
    }
    return true;
}

static bool is_npz(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && !strcmp(name + n - 4, ".npz");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool samples_load_dir(Compile *c, Graph *g, const char *dir, Samples *out)
{
    DIR *d;
    struct dirent *e;
    char **names = NULL;
    int n = 0, cap = 0;

    if (is_npz(dir))
        return load_golden(c, g, dir, out);
    d = opendir(dir);
    if (!d)
        return diag_error(c->diag, "cannot read the folder '%s'", dir);
    while ((e = readdir(d)))
        if (is_npz(e->d_name) || !strncmp(e->d_name, "test_data_set_", 14)) {
            char *path = arena_printf(c->arena, "%s/%s", dir, e->d_name);
            PUSH(c->arena, names, n, cap, path);
        }
    closedir(d);
    if (n == 0)
        return diag_error(c->diag, "'%s' has no test_data_set_N folders and "
                          "no .npz files", dir);
    qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++)
        if (!(is_npz(names[i]) ? load_golden : load_test_set)(c, g, names[i],
                                                              out))
            return false;
    return true;
}

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Floats that QuantizeLinear reads first: what its codes stand for, or a
 * small range would make them all one code. */
static double code_range(const Value *v, double *middle)
{
    const Node *n = v->nuse ? v->use[0] : NULL;
    const Quant *q;

    *middle = 0;
    if (!n || n->op != OP_QuantizeLinear || n->in[0] != v ||
        dtype_bits(n->out[0]->type.dt) != 8)
        return 1;
    q = quant_of_operands(n->graph->arena, n->in[1], node_in(n, 2), 0,
                          &n->out[0]->type);
    if (!q || q->n != 1)
        return 1;
    *middle = (double)q->scale[0] *
              ((n->out[0]->type.dt == DT_U8 ? 128 : 0) - q->zero_point[0]);
    return (double)q->scale[0] * 128;
}

static void fill_random(const Value *v, Tensor *t, uint64_t *state)
{
    int64_t n = type_elems(&t->type);
    DType dt = t->type.dt;
    double middle, range = code_range(v, &middle);

    for (int64_t i = 0; i < n; i++) {
        uint32_t r = next_random(state);
        if (dtype_is_float(dt))
            elem_set(dt, t->data, i,
                     middle + range * ((double)r / 0x40000000 - 1));
        else if (dt == DT_I8 || dt == DT_U8)
            elem_set_int(dt, t->data, i, r & 255);
        else                    /* perhaps an index: small */
            elem_set_int(dt, t->data, i, r & 1);
    }
}

void samples_random(Compile *c, Graph *g, int n, Samples *out)
{
    uint64_t state = 1;

    for (int k = 0; k < n; k++) {
        Sample *s = add_sample(c, g, out, "random inputs");
        for (int i = 0; i < g->nin; i++) {
            s->in[i].data = arena_alloc(c->arena, (size_t)
                                        type_bytes(&s->in[i].type) + 8);
            fill_random(g->in[i], &s->in[i], &state);
        }
    }
}
