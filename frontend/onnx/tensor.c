/* tensor.c - TensorProto to ModelTensor: every encoding that ONNX has for
 * the elements, with lengths and dims checked against each other.
 *
 * raw_data, float_data and double_data are not copied: they point into the
 * file's image (see guard.h), and int64_data into the unpacked message. Only
 * what is stored wider than it is (int8 in int32_data) gets memory of its
 * own. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "guard.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensor data are little endian; this machine would have to swap them"
#endif

const char *load_dtype(Loader *l, int32_t type, DType *dt)
{
    static const char *const others[] = {
        [8] = "string", [14] = "complex64", [15] = "complex128",
        [17] = "float8e4m3fn", [18] = "float8e4m3fnuz", [19] = "float8e5m2",
        [20] = "float8e5m2fnuz", [23] = "float4e2m1", [24] = "float8e8m0",
        [25] = "uint2", [26] = "int2", [27] = "float6e2m3",
        [28] = "float6e3m2",
    };
    const int n = sizeof others / sizeof *others;

    *dt = DT_NONE;
    if (type > 0 && type < DT_MAX && dtype_bits((DType)type)) {
        *dt = (DType)type;
        return NULL;
    }
    if (type > 0 && type < n && others[type])
        return arena_printf(l->arena, "element type %s is not supported",
                            others[type]);
    return arena_printf(l->arena, "unknown element type %" PRId32, type);
}

static bool tensor_type(Loader *l, const Onnx__TensorProto *p,
                        const char *name, ModelTensor *t)
{
    const int64_t most = INT64_C(1) << 40;
    int64_t n = 1;

    t->problem = load_dtype(l, p->has_data_type ? p->data_type : 0,
                            &t->type.dt);
    if (p->n_dims > MAX_RANK)
        return tensor_error(l, name, "%zu dimensions, at most %d are "
                            "supported", p->n_dims, MAX_RANK);
    t->type.rank = (int)p->n_dims;
    for (int i = 0; i < t->type.rank; i++) {
        int64_t d = p->dims[i];
        if (d < 0)
            return tensor_error(l, name, "dimension %d is %" PRId64, i, d);
        if (d > most || (d && n > most / d))
            return tensor_error(l, name, "more than %" PRId64 " elements",
                                most);
        t->type.dim[i] = d;
        n *= d;
    }
    return true;
}

typedef struct Field {
    const char *name;
    size_t n;                   /* entries, bytes for raw_data */
    const void *data;
} Field;

enum { RAW, FLOATS, INT32S, INT64S, DOUBLES, UINT64S, FIELDS };

static void list_fields(const Onnx__TensorProto *p, const GuardRaw *raw,
                        Field *f)
{
    size_t n = (size_t)raw->bytes;

    f[RAW] = (Field){ "raw_data", n, raw->data };
    f[FLOATS] = (Field){ "float_data", p->n_float_data, p->float_data };
    f[INT32S] = (Field){ "int32_data", p->n_int32_data, p->int32_data };
    f[INT64S] = (Field){ "int64_data", p->n_int64_data, p->int64_data };
    f[DOUBLES] = (Field){ "double_data", p->n_double_data, p->double_data };
    f[UINT64S] = (Field){ "uint64_data", p->n_uint64_data, p->uint64_data };
    if (raw->field == TENSOR_FLOATS && !f[FLOATS].n) {
        f[RAW].n = 0;
        f[FLOATS] = (Field){ "float_data", n / 4, raw->data };
    } else if (raw->field == TENSOR_DOUBLES && !f[DOUBLES].n) {
        f[RAW].n = 0;
        f[DOUBLES] = (Field){ "double_data", n / 8, raw->data };
    }
}

/* Which field ONNX keeps elements of this type in, beside raw_data. */
static int typed_field(DType dt)
{
    switch (dt) {
    case DT_F32: return FLOATS;
    case DT_F64: return DOUBLES;
    case DT_I64: return INT64S;
    case DT_U32: case DT_U64: return UINT64S;
    default: return INT32S;
    }
}

/* The one field with elements in it; RAW when there is none. */
static bool pick_field(Loader *l, const char *name, const Field *f, DType dt,
                       int *which)
{
    int found = -1;

    for (int i = 0; i < FIELDS; i++) {
        if (!f[i].n)
            continue;
        if (found >= 0)
            return tensor_error(l, name, "has both %s and %s", f[found].name,
                                f[i].name);
        found = i;
    }
    if (found > RAW && found != typed_field(dt))
        return tensor_error(l, name, "%s elements in %s", dtype_name(dt),
                            f[found].name);
    *which = found < 0 ? RAW : found;
    return true;
}

/* Entries of int32_data (or uint64_data for uint32) narrowed to dt; the
 * upper bits of an entry may be a sign or zeros. */
static bool narrow(Loader *l, const char *name, const Field *f, DType dt,
                   int which, size_t bytes, const void **data)
{
    size_t size = dtype_bits(dt) < 8 ? 1 : (size_t)dtype_bytes(dt);
    uint8_t *to = arena_alloc(l->arena, bytes);
    int64_t top = INT64_C(1) << 8 * size;

    for (size_t i = 0; i < f->n; i++) {
        int64_t x = which == UINT64S
                        ? (int64_t)((const uint64_t *)f->data)[i]
                        : ((const int32_t *)f->data)[i];
        if (x < -top / 2 || x >= top)
            return tensor_error(l, name, "entry %zu of %s is %" PRId64
                                ", not a %s", i, f->name, x, dtype_name(dt));
        memcpy(to + i * size, &x, size);
    }
    *data = to;
    return true;
}

/* Truth values may be any byte in a file; here they are 0 or 1. */
static void normalize_bools(const void *data, size_t n)
{
    uint8_t *b = (uint8_t *)data;

    for (size_t i = 0; i < n; i++)
        b[i] = b[i] != 0;
}

static bool size_error(Loader *l, const char *name, const Type *t,
                       const Field *f, bool raw, size_t want)
{
    const char *unit = raw ? "bytes" : "entries";
    Buf b;

    buf_init(&b, l->scratch);
    type_print(&b, t);
    if (!f->n)
        return tensor_error(l, name, "has no data, %s needs %zu %s", b.s,
                            want, unit);
    return tensor_error(l, name, "%s has %zu %s, %s needs %zu", f->name, f->n,
                        unit, b.s, want);
}

static bool inner_data(Loader *l, const Onnx__TensorProto *p,
                       const char *name, const Type *t, const void **data)
{
    size_t bytes = (size_t)type_bytes(t), want = bytes;
    GuardRaw raw = { 0 };
    Field f[FIELDS];
    int which = RAW;

    if (p->raw_data.len == sizeof raw)
        memcpy(&raw, p->raw_data.data, sizeof raw);
    list_fields(p, &raw, f);
    if (!pick_field(l, name, f, t->dt, &which))
        return false;
    if (which != RAW && dtype_bits(t->dt) >= 8)
        want = (size_t)type_elems(t);
    if (f[which].n != want)
        return size_error(l, name, t, &f[which], which == RAW, want);
    *data = f[which].data;
    if ((which == INT32S && t->dt != DT_I32) ||
        (which == UINT64S && t->dt == DT_U32))
        return narrow(l, name, &f[which], t->dt, which, bytes, data);
    return true;
}

bool load_tensor(Loader *l, const Onnx__TensorProto *p, ModelTensor *t)
{
    static const uint64_t nothing;      /* data of no elements */
    const char *name = load_text(l, p->name);
    bool ok;

    memset(t, 0, sizeof *t);
    t->name = name;
    if (!tensor_type(l, p, name, t))
        return false;
    if (t->problem)
        return true;
    if (p->segment)
        return tensor_error(l, name, "is stored in segments");
    if (p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        ok = load_external(l, p, name, (size_t)type_bytes(&t->type),
                           &t->data);
    else
        ok = inner_data(l, p, name, &t->type, &t->data);
    if (ok && !t->data)
        t->data = &nothing;
    if (ok && t->type.dt == DT_BOOL)
        normalize_bools(t->data, (size_t)type_elems(&t->type));
    return ok;
}

bool onnx_load_tensor(const char *path, Arena *arena, Diag *diag,
                      ModelTensor *out)
{
    const char *shown = diag->file;
    Arena *scratch = arena_child(arena);
    Onnx__TensorProto *p = NULL;
    FileBytes file;
    Loader l;
    bool ok;

    memset(out, 0, sizeof *out);
    loader_init(&l, path, arena, scratch, diag);
    diag->file = path;
    if (file_read(path, INT32_MAX, arena, diag, &file))
        p = load_message(&l, &onnx__tensor_proto__descriptor, file);
    ok = p && load_tensor(&l, p, out);
    diag->file = shown;
    arena_free(scratch);
    return ok;
}
