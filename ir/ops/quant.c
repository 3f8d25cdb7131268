/* quant.c - QuantizeLinear, DequantizeLinear (ONNX 25), DynamicQuantizeLinear
 * (11). Arithmetic is ONNX Runtime's: the quotient in float, rounded half to
 * even, then the zero point, then saturation. float16 and bfloat16 operands
 * are widened first, so that the generated C, which does the same, agrees in
 * every bit. The matrix forms are in quant_matmul.c and quant_conv.c. */
#include "quant.h"
#include "../hooks.h"

#include <math.h>

int64_t dtype_lowest(DType dt)
{
    if (dtype_kind(dt) == DK_UINT)
        return 0;
    return -((int64_t)1 << (dtype_bits(dt) - 1));
}

int64_t dtype_highest(DType dt)
{
    int sign = dtype_kind(dt) == DK_UINT ? 0 : 1;

    return ((int64_t)1 << (dtype_bits(dt) - sign)) - 1;
}

int64_t quant_round(float x, int64_t zp, DType dt)
{
    float lo = (float)(dtype_lowest(dt) - zp);
    float hi = (float)(dtype_highest(dt) - zp);

    x = x > lo ? x : lo;
    x = x < hi ? x : hi;
    return (int64_t)rintf(x) + zp;
}

static bool is_storage_type(DType dt)
{
    return dtype_is_int(dt) && dtype_bits(dt) <= 16;
}

static bool is_scale_type(DType dt)
{
    return dt == DT_F32 || dt == DT_F16 || dt == DT_BF16;
}

bool quant_check_scale(const Node *n, const Value *v)
{
    int64_t count;

    if (!is_scale_type(v->type.dt))
        return node_error(n, "scale '%s' is %s, must be float, float16 or "
                          "bfloat16", v->name, dtype_name(v->type.dt));
    if (!value_is_const(v))
        return true;
    count = type_elems(&v->type);
    for (int64_t i = 0; i < count; i++) {
        double s = elem_get(v->type.dt, v->data, i);
        if (!(s > 0) || isinf(s))
            return node_error(n, "scale '%s' is %g at index %lld, must be "
                              "positive and finite", v->name, s,
                              (long long)i);
    }
    return true;
}

/* Blocked: the scale has x's shape, but for ceil(len / block) blocks on the
 * axis. */
static bool map_blocks(const Node *n, const Type *x, const Type *s, int axis,
                       int64_t block, QuantMap *m)
{
    int64_t blocks = (x->dim[axis] + block - 1) / block;

    if (s->rank != x->rank)
        return node_error(n, "blocked scale has rank %d, input has %d",
                          s->rank, x->rank);
    for (int i = 0; i < x->rank; i++) {
        int64_t want = i == axis ? blocks : x->dim[i];
        if (s->dim[i] != want)
            return node_error(n, "scale has %lld on axis %d, block_size %lld "
                              "of %lld asks for %lld", (long long)s->dim[i],
                              i, (long long)block, (long long)x->dim[i],
                              (long long)want);
    }
    m->block = block;
    m->so = blocks * m->inner;
    m->sa = m->inner;
    m->si = 1;
    return true;
}

bool quant_map(const Node *n, QuantMap *m)
{
    const Attr_quantize *a = ATTRS(quantize, n);
    const Type *x = &n->in[0]->type, *s = &n->in[1]->type;
    int axis;

    *m = (QuantMap){ 1, 1, type_elems(x), 1, 0, 0, 0 };
    if (a->block_size < 0)
        return node_error(n, "block_size %lld is negative",
                          (long long)a->block_size);
    if (!a->block_size && (s->rank == 0 || (s->rank == 1 && s->dim[0] == 1)))
        return true;
    if (!a->block_size && s->rank != 1)
        return node_error(n, "scale of rank %d needs a block_size", s->rank);
    if (!node_axis(n, a->axis, x->rank, &axis))
        return false;
    m->outer = type_span(x, 0, axis);
    m->len = x->dim[axis];
    m->inner = type_span(x, axis + 1, x->rank);
    if (a->block_size)
        return map_blocks(n, x, s, axis, a->block_size, m);
    if (s->dim[0] != m->len)
        return node_error(n, "%lld scales for %lld elements on axis %d",
                          (long long)s->dim[0], (long long)m->len, axis);
    m->sa = 1;
    return true;
}

/* Scale, zero point and layout; dt is the type of the quantized side. */
static bool check_quant(Node *n, DType dt)
{
    const Value *s = n->in[1], *z = node_in(n, 2);
    QuantMap m;

    if (!quant_check_scale(n, s) || !quant_map(n, &m))
        return false;
    if (!z)
        return true;
    if (z->type.dt != dt)
        return node_error(n, "zero point '%s' is %s, must be %s", z->name,
                          dtype_name(z->type.dt), dtype_name(dt));
    if (!type_same_shape(&z->type, &s->type) &&
        (type_elems(&z->type) != 1 || type_elems(&s->type) != 1))
        return node_error(n, "zero point '%s' and scale '%s' differ in shape",
                          z->name, s->name);
    return true;
}

static DType wanted_type(int64_t dt)
{
    return dt > 0 && dt < DT_MAX ? (DType)dt : DT_NONE;
}

bool infer_quantize(Graph *g, Node *n)
{
    const Attr_quantize *a = ATTRS(quantize, n);
    const Value *x = n->in[0], *z = node_in(n, 2);
    DType dt = a->output_dtype ? wanted_type(a->output_dtype)
               : z             ? z->type.dt
                               : DT_U8;

    (void)g;
    if (!is_scale_type(x->type.dt) && x->type.dt != DT_I32)
        return node_error(n, "cannot quantize %s", dtype_name(x->type.dt));
    if (!is_storage_type(dt))
        return node_error(n, "cannot quantize to %s", dtype_name(dt));
    if (a->precision && a->precision != DT_F32)
        return node_error(n, "precision %lld is not supported, only float",
                          (long long)a->precision);
    if (!check_quant(n, dt))
        return false;
    n->out[0]->type = x->type;
    n->out[0]->type.dt = dt;
    return true;
}

bool infer_dequantize(Graph *g, Node *n)
{
    const Attr_quantize *a = ATTRS(quantize, n);
    const Value *x = n->in[0];
    DType dt = a->output_dtype ? wanted_type(a->output_dtype)
                               : n->in[1]->type.dt;

    (void)g;
    if (!is_storage_type(x->type.dt) && x->type.dt != DT_I32)
        return node_error(n, "cannot dequantize %s", dtype_name(x->type.dt));
    if (!is_scale_type(dt))
        return node_error(n, "cannot dequantize to %s", dtype_name(dt));
    if (!check_quant(n, x->type.dt))
        return false;
    n->out[0]->type = x->type;
    n->out[0]->type.dt = dt;
    return true;
}

bool infer_dynquantize(Graph *g, Node *n)
{
    const Type *x = &n->in[0]->type;

    (void)g;
    if (x->dt != DT_F32)
        return node_error(n, "takes float, not %s", dtype_name(x->dt));
    if (type_elems(x) == 0)
        return node_error(n, "input '%s' has no elements", n->in[0]->name);
    if (node_out(n, 0)) {
        n->out[0]->type = *x;
        n->out[0]->type.dt = DT_U8;
    }
    if (node_out(n, 1))
        n->out[1]->type = type_scalar(DT_F32);
    if (node_out(n, 2))
        n->out[2]->type = type_scalar(DT_U8);
    return true;
}

typedef void QuantElem(const Tensor *const *in, Tensor *out, int64_t i,
                       int64_t s);

static void quantize_elem(const Tensor *const *in, Tensor *out, int64_t i,
                          int64_t s)
{
    float x = (float)elem_get(in[0]->type.dt, in[0]->data, i);
    float scale = (float)elem_get(in[1]->type.dt, in[1]->data, s);
    int64_t zp = in[2] ? elem_get_int(in[2]->type.dt, in[2]->data, s) : 0;

    elem_set_int(out->type.dt, out->data, i,
                 quant_round(x / scale, zp, out->type.dt));
}

static void dequantize_elem(const Tensor *const *in, Tensor *out, int64_t i,
                            int64_t s)
{
    int64_t x = elem_get_int(in[0]->type.dt, in[0]->data, i);
    int64_t zp = in[2] ? elem_get_int(in[2]->type.dt, in[2]->data, s) : 0;
    float scale = (float)elem_get(in[1]->type.dt, in[1]->data, s);

    elem_set(out->type.dt, out->data, i, (double)((float)(x - zp) * scale));
}

static bool each_elem(const Node *n, const Tensor *const *in, Tensor *out,
                      QuantElem *fn)
{
    const Tensor *op[3] = { in[0], in[1], n->nin > 2 ? in[2] : NULL };
    int64_t i = 0;
    QuantMap m;

    if (!quant_map(n, &m))
        return false;
    for (int64_t o = 0; o < m.outer; o++)
        for (int64_t a = 0; a < m.len; a++)
            for (int64_t k = 0; k < m.inner; k++)
                fn(op, out, i++, o * m.so + a / m.block * m.sa + k * m.si);
    return true;
}

bool eval_quantize(const Node *n, const Tensor *const *in,
                   Tensor *const *out, Arena *scratch, Diag *diag)
{
    (void)scratch;
    (void)diag;
    return each_elem(n, in, out[0], quantize_elem);
}

bool eval_dequantize(const Node *n, const Tensor *const *in,
                     Tensor *const *out, Arena *scratch, Diag *diag)
{
    (void)scratch;
    (void)diag;
    return each_elem(n, in, out[0], dequantize_elem);
}

bool eval_dynquantize(const Node *n, const Tensor *const *in,
                      Tensor *const *out, Arena *scratch, Diag *diag)
{
    const float *x = in[0]->data;
    int64_t count = type_elems(&in[0]->type), zp;
    float lo = 0, hi = 0, scale;

    (void)n;
    (void)scratch;
    (void)diag;
    for (int64_t i = 0; i < count; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    scale = hi == lo ? 1.0f : (hi - lo) / 255.0f;
    zp = quant_round(0.0f - lo / scale, 0, DT_U8);
    if (n->nout > 0 && out[0])
        for (int64_t i = 0; i < count; i++)
            ((uint8_t *)out[0]->data)[i] =
                (uint8_t)quant_round(x[i] / scale, zp, DT_U8);
    if (n->nout > 1 && out[1])
        *(float *)out[1]->data = scale;
    if (n->nout > 2 && out[2])
        *(uint8_t *)out[2]->data = (uint8_t)zp;
    return true;
}
