/* weights.c - constants that stand elsewhere: @"w.npz:name", @"w.bin:off,len",
 * ONNX's ["location": "w.bin", ...], and those that a rule makes: @zeros,
 * @random(seed, std).
 *
 * Texts come from strangers: only regular files below the text's own folder
 * are read, links followed first, each once; what rules make is bounded. */
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../support/npz.h"

#define MAX_MADE ((int64_t)1 << 30)     /* bytes of @zeros and @random */

typedef struct WeightFile {
    bool is_numpy;
    FileBytes bytes;
    NpyFile npz;
} WeightFile;

/* realpath into the scratch arena, NULL when there is no such file. */
static const char *real(Text *t, const char *path)
{
    char *s = realpath(path, NULL);
    const char *copy;

    if (!s)
        return NULL;
    copy = arena_strdup(t->scratch, s);
    free(s);
    return copy;
}

static const char *folder(Text *t)
{
    const char *slash = strrchr(t->path, '/');

    if (!t->folder)
        t->folder = real(t, !slash ? "." : slash == t->path ? "/"
                         : arena_strndup(t->scratch, t->path,
                                         (size_t)(slash - t->path)));
    return t->folder;
}

static bool is_below(const char *path, const char *base)
{
    size_t n = strlen(base);

    return n == 1 || (!strncmp(path, base, n) && path[n] == '/');
}

static bool locate(Text *t, Span at, const char *name, const char **path)
{
    const char *base = folder(t);
    struct stat st;

    *path = base && *name != '/'
                ? real(t, arena_printf(t->scratch, "%s/%s", base, name))
                : NULL;
    if (*name == '/')
        return text_error(t, at, "'%.200s' is outside the text's folder",
                          name);
    if (!*path)
        return text_error(t, at, "cannot read '%.200s': %s", name,
                          strerror(errno));
    if (!is_below(*path, base))
        return text_error(t, at, "'%.200s' is outside the text's folder",
                          name);
    if (stat(*path, &st) || !S_ISREG(st.st_mode))
        return text_error(t, at, "'%.200s' is not a file", name);
    return true;
}

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);

    return n >= k && !strcmp(s + n - k, suffix);
}

static WeightFile *open_file(Text *t, Span at, const char *name)
{
    WeightFile *f = map_get(&t->file, name);
    const char *path;
    bool ok;

    if (f)
        return f;
    if (!locate(t, at, name, &path))
        return NULL;
    f = NEW(t->scratch, WeightFile);
    f->is_numpy = has_suffix(name, ".npz") || has_suffix(name, ".npy");
    ok = f->is_numpy ? npz_load(path, t->arena, t->diag, &f->npz)
                     : file_read(path, SIZE_MAX / 8, t->arena, t->diag,
                                 &f->bytes);
    if (!ok) {
        text_error(t, at, "'%.200s' cannot be used", name);
        return NULL;
    }
    map_put(&t->file, name, f);
    return f;
}

static DType numpy_dtype(const NpyArray *a)
{
    switch (a->kind) {
    case 'f': return a->size == 4 ? DT_F32 : a->size == 8 ? DT_F64
                     : a->size == 2 ? DT_F16 : DT_NONE;
    case 'i': return a->size == 1 ? DT_I8 : a->size == 2 ? DT_I16
                     : a->size == 4 ? DT_I32 : DT_I64;
    case 'u': return a->size == 1 ? DT_U8 : a->size == 2 ? DT_U16
                     : a->size == 4 ? DT_U32 : DT_U64;
    case 'b': return DT_BOOL;
    case 'V': return a->size == 2 ? DT_BF16 : DT_NONE;
    default: return DT_NONE;
    }
}

static bool same_shape(const NpyArray *a, const Type *t)
{
    if (a->rank != t->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != t->dim[i])
            return false;
    return true;
}

static bool from_numpy(Text *t, ModelTensor *m, Span at, const NpyFile *f,
                       const char *key)
{
    const NpyArray *a = f->is_npz ? npz_find(f, key) : f->array;
    Type got = { DT_NONE, 0, { 0 } };
    Buf want, is;

    if (!a)
        return text_error(t, at, "the file has no array '%.100s'", key);
    if (a->problem)
        return text_error(t, at, "array '%.100s': %s", key, a->problem);
    got.dt = numpy_dtype(a);
    got.rank = a->rank <= MAX_RANK ? a->rank : 0;
    for (int i = 0; i < got.rank; i++)
        got.dim[i] = a->dim[i];
    if (got.dt == m->type.dt && same_shape(a, &m->type)) {
        m->data = a->data;
        return true;
    }
    buf_init(&want, t->scratch);
    buf_init(&is, t->scratch);
    type_print(&want, &m->type);
    type_print(&is, &got);
    return text_error(t, at, "array '%.100s' is %s, not %s", key, is.s,
                      want.s);
}

static bool from_bytes(Text *t, ModelTensor *m, Span at, const FileBytes *f,
                       uint64_t offset, uint64_t length)
{
    uint64_t bytes = (uint64_t)type_bytes(&m->type);

    if (length != bytes)
        return text_error(t, at, "%llu bytes, the type needs %llu",
                          (unsigned long long)length,
                          (unsigned long long)bytes);
    if (offset > f->n || length > f->n - offset)
        return text_error(t, at, "the file has %zu bytes, %llu at %llu are "
                          "needed", f->n, (unsigned long long)length,
                          (unsigned long long)offset);
    m->data = f->data + offset;
    if ((uintptr_t)m->data % 8)
        m->data = arena_memdup(t->arena, m->data, (size_t)bytes);
    return true;
}

static bool parse_range(const char *s, uint64_t *offset, uint64_t *length)
{
    char *end;

    if (*s < '0' || *s > '9')
        return false;
    *offset = strtoull(s, &end, 10);
    if (*end != ',' || end[1] < '0' || end[1] > '9')
        return false;
    *length = strtoull(end + 1, &end, 10);
    return !*end;
}

/* Truth values may be any byte in a file; here they are 0 or 1. */
static void normalize_bools(Text *t, ModelTensor *m)
{
    int64_t n = type_elems(&m->type);
    uint8_t *b;

    if (m->type.dt != DT_BOOL || !n)
        return;
    m->data = b = arena_memdup(t->arena, m->data, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        b[i] = b[i] != 0;
}

/* Where the file's name ends: at ".npz:" or the like, else the last colon. */
static size_t name_length(const char *ref)
{
    const char *p = strstr(ref, ".npz:");
    const char *colon = strrchr(ref, ':');

    if (p)
        return (size_t)(p + 4 - ref);
    return colon ? (size_t)(colon - ref) : strlen(ref);
}

bool weights_find(Text *t, ModelTensor *m, const Body *b)
{
    size_t n = name_length(b->name);
    const char *name = arena_strndup(t->scratch, b->name, n);
    const char *rest = b->name[n] ? b->name + n + 1 : "";
    WeightFile *f = open_file(t, b->at, name);
    uint64_t offset = 0, length;
    bool ok;

    if (!f)
        return false;
    if (f->is_numpy) {
        ok = from_numpy(t, m, b->at, &f->npz, rest);
    } else {
        length = f->bytes.n;
        if (*rest && !parse_range(rest, &offset, &length)) {
            text_error(t, b->at, "'%.60s' is no range of bytes", rest);
            text_hint(t, "@\"%.60s:offset,length\"", name);
            return false;
        }
        ok = from_bytes(t, m, b->at, &f->bytes, offset, length);
    }
    if (ok)
        normalize_bools(t, m);
    return ok;
}

static bool external(Text *t, ModelTensor *m, const Body *b)
{
    const char *name = "";
    uint64_t offset = 0, length = (uint64_t)type_bytes(&m->type);
    WeightFile *f;

    for (int i = 0; i < b->list->n; i++) {
        const Pair *p = b->list->v[i];
        if (!p->s)
            return text_error(t, p->at, "expected a string");
        if (!strcmp(p->key, "location"))
            name = p->s;
        else if (!strcmp(p->key, "offset"))
            offset = strtoull(p->s, NULL, 10);
        else if (!strcmp(p->key, "length"))
            length = strtoull(p->s, NULL, 10);
    }
    f = open_file(t, b->at, name);
    if (!f)
        return false;
    if (f->is_numpy)
        return text_error(t, b->at, "external data are plain bytes, not "
                          "numpy's");
    if (!from_bytes(t, m, b->at, &f->bytes, offset, length))
        return false;
    normalize_bools(t, m);
    return true;
}

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014 */
static uint64_t split_mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* About normal, deviation 1: twelve uniform numbers of 16 bits (exact in
 * a double, so the same everywhere). */
static double normal(uint64_t *state)
{
    int64_t sum = 0;

    for (int i = 0; i < 3; i++) {
        uint64_t z = split_mix(state);
        sum += (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) +
                         (z >> 32 & 0xffff) + (z >> 48));
    }
    return (double)(sum - 6 * 65535) / 65536;
}

static bool make_random(Text *t, ModelTensor *m, const Body *b, void *data)
{
    int64_t n = type_elems(&m->type), seed = 0;
    DType dt = m->type.dt;
    float std = 1;
    uint64_t state;

    if (!b->list || b->list->n > 2)
        return text_error(t, b->at, "@random takes a seed and perhaps a "
                          "standard deviation");
    if (!literal_int(t, b->list->v[0], &seed) ||
        (b->list->n > 1 && !literal_float(t, b->list->v[1], &std)))
        return false;
    state = (uint64_t)seed;
    for (int64_t i = 0; i < n; i++) {
        double x = normal(&state) * (double)std;
        if (dtype_is_float(dt))
            elem_set(dt, data, i, x);
        else if (dt == DT_BOOL)
            elem_set_int(dt, data, i, x > 0);
        else
            elem_set_int(dt, data, i, elem_saturate(dt, x < 0 ? x - 0.5
                                                              : x + 0.5));
    }
    return true;
}

bool weights_make(Text *t, ModelTensor *m, const Body *b)
{
    int64_t bytes = type_bytes(&m->type);
    void *data;

    if (!strcmp(b->name, "external"))
        return b->list ? external(t, m, b)
                       : text_error(t, b->at, "external data without "
                                    "a location");
    if (!strcmp(b->name, "elided")) {
        text_error(t, b->at, "these weights were left out when the text was "
                   "printed");
        text_hint(t, "print it with --inline-weights, or with -o FILE.mcu");
        return false;
    }
    if (strcmp(b->name, "zeros") && strcmp(b->name, "random")) {
        text_error(t, b->at, "there is no rule @%.40s", b->name);
        text_hint(t, "@zeros, @random(seed, deviation) or "
                  "@\"file.npz:name\"");
        return false;
    }
    if (bytes > MAX_MADE - t->made)
        return text_error(t, b->at, "constants made by rules take more than "
                          "%lld bytes", (long long)MAX_MADE);
    t->made += bytes;
    m->data = data = arena_alloc(t->arena, (size_t)bytes);
    return *b->name == 'z' || make_random(t, m, b, data);
}
