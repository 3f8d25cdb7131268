/* cast.c - Cast and BitCast. Float to integer truncates and, where ONNX
 * leaves it open, saturates (NaN gives 0); integer to integer drops high
 * bits; every conversion to a float rounds once. */
#include "../hooks.h"

#include <string.h>

bool infer_cast(Graph *g, Node *n)
{
    int64_t to = ATTRS(cast, n)->to;
    Type t = n->in[0]->type;

    (void)g;
    if (to <= 0 || to >= DT_MAX || !dtype_bits((DType)to))
        return node_error(n, "type number %lld is not supported",
                          (long long)to);
    if (n->op == OP_BitCast && dtype_bits(t.dt) != dtype_bits((DType)to))
        return node_error(n, "%s has %d bits, %s has %d", dtype_name(t.dt),
                          dtype_bits(t.dt), dtype_name((DType)to),
                          dtype_bits((DType)to));
    t.dt = (DType)to;
    n->out[0]->type = t;
    return true;
}

/* A double that rounds like x to any float of 16 bits: the low
 * half of a wide integer becomes one sticky bit. */
static double sticky(uint64_t x)
{
    if (x >> 53)
        x = (x >> 32 << 32) | (uint64_t)((uint32_t)x != 0) << 32;
    return (double)x;
}

static void set_float(DType to, void *p, int64_t i, int64_t x, bool wide)
{
    bool neg = x < 0 && !wide;
    uint64_t mag = neg ? 0 - (uint64_t)x : (uint64_t)x;

    if (to == DT_F32)
        ((float *)p)[i] = neg ? -(float)mag : (float)mag;
    else if (to == DT_F64)
        ((double *)p)[i] = neg ? -(double)mag : (double)mag;
    else
        elem_set(to, p, i, neg ? -sticky(mag) : sticky(mag));
}

bool eval_cast(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    DType from = in[0]->type.dt, to = out[0]->type.dt;
    int64_t count = type_elems(&in[0]->type);
    const void *x = in[0]->data;
    void *y = out[0]->data;

    (void)n;
    (void)scratch;
    (void)diag;
    for (int64_t i = 0; i < count; i++) {
        if (dtype_is_float(from)) {
            double d = elem_get(from, x, i);
            if (dtype_is_int(to))
                elem_set_int(to, y, i, elem_saturate(to, d));
            else
                elem_set(to, y, i, d);
        } else {
            int64_t v = elem_get_int(from, x, i);
            if (dtype_is_float(to))
                set_float(to, y, i, v, from == DT_U64);
            else
                elem_set_int(to, y, i, v);
        }
    }
    return true;
}

bool eval_bitcast(const Node *n, const Tensor *const *in, Tensor *const *out,
                  Arena *scratch, Diag *diag)
{
    (void)n;
    (void)scratch;
    (void)diag;
    memcpy(out[0]->data, in[0]->data, (size_t)type_bytes(&in[0]->type));
    return true;
}
