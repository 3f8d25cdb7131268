/* expand_nbits.c - MatMulNBits and GatherBlockQuantized of com.microsoft:
 * weights of 4 or 8 bits in blocks along K, each with a scale and a zero
 * point. They become a constant of that type, DequantizeLinear in blocks, and
 * a product, or rows that are looked up before they are dequantized. */
#include "build.h"

#include <string.h>

typedef struct NBits {
    int64_t n, k, bits, block, blocks;      /* blocks per row of K */
    Value *b, *scales, *zeros;
} NBits;

static bool nbits_init(Build *b, Draft *d, NBits *w)
{
    int64_t unused;

    *w = (NBits){ .bits = 4 };
    take_int(b, d, "N", &w->n);
    take_int(b, d, "K", &w->k);
    take_int(b, d, "bits", &w->bits);
    take_int(b, d, "block_size", &w->block);
    take_int(b, d, "accuracy_level", &unused);
    drop_attr(d, "weight_prepacked");
    if (!draft_arity(b, d, 3, 6, 1))
        return false;
    w->b = d->in[1];
    w->scales = d->in[2];
    w->zeros = draft_in(d, 3);
    if (w->bits != 4 && w->bits != 8)
        return draft_error(b, d, "%lld bits, only 4 and 8 are supported",
                           (long long)w->bits);
    if (w->n < 1 || w->k < 1 || w->block < 16 || w->block > 1 << 20 ||
        w->block % 2 || w->n > (int64_t)1 << 32 || w->k > (int64_t)1 << 32)
        return draft_error(b, d, "N %lld, K %lld, block_size %lld",
                           (long long)w->n, (long long)w->k,
                           (long long)w->block);
    w->blocks = (w->k + w->block - 1) / w->block;
    if (draft_in(d, 4))
        return draft_error(b, d, "g_idx is not supported");
    return true;
}

static bool nbits_check(Build *b, Draft *d, const NBits *w)
{
    int64_t row = w->blocks * w->block * w->bits / 8;
    int64_t zrow = (w->blocks * w->bits + 7) / 8;

    if (!value_is_const(w->b) || w->b->type.dt != DT_U8 ||
        type_elems(&w->b->type) != w->n * row)
        return draft_error(b, d, "weights are not %lld constant bytes",
                           (long long)(w->n * row));
    if (type_elems(&w->scales->type) != w->n * w->blocks)
        return draft_error(b, d, "scales are not %lld x %lld",
                           (long long)w->n, (long long)w->blocks);
    if (w->zeros && (!value_is_const(w->zeros) ||
                     w->zeros->type.dt != DT_U8 ||
                     type_elems(&w->zeros->type) != w->n * zrow))
        return draft_error(b, d, "zero points are not %lld constant bytes",
                           (long long)(w->n * zrow));
    return true;
}

static DType nbits_dtype(const NBits *w)
{
    return w->bits == 4 ? DT_U4 : DT_U8;
}

/* Rows of zero points end at a byte in the file; a tensor's do not. */
static Value *zero_points(Build *b, const NBits *w)
{
    int64_t dim[] = { w->n, w->blocks }, pitch;
    Type t = type_make(nbits_dtype(w), 2, dim);
    void *data = arena_alloc(b->g->arena, (size_t)type_bytes(&t) + 1);

    pitch = (w->blocks * w->bits + 7) / 8 * 8 / w->bits;
    for (int64_t i = 0; i < w->n; i++)
        for (int64_t j = 0; j < w->blocks; j++)
            elem_set_int(t.dt, data, i * w->blocks + j, w->zeros ?
                         elem_get_int(t.dt, w->zeros->data, i * pitch + j) :
                         (int64_t)1 << (w->bits - 1));
    return graph_const(b->g, NULL, t, data);
}

/* float[N, K] */
static Value *weights(Build *b, const NBits *w)
{
    int64_t dim[] = { w->n, w->blocks * w->block };
    int64_t sdim[] = { w->n, w->blocks };
    Type t = type_make(nbits_dtype(w), 2, dim);
    Value *in[3], *v;
    Node *n;

    in[0] = graph_const(b->g, NULL, t, w->b->data);
    in[1] = b_reshape(b, w->scales, 2, sdim);
    in[2] = zero_points(b, w);
    n = b_node(b, OP_DequantizeLinear, 3, in, 1);
    ATTRS(quantize, n)->axis = 1;
    ATTRS(quantize, n)->block_size = w->block;
    v = b_end(b, n);
    return dim[1] == w->k ? v : b_slice(b, v, 1, 0, w->k);
}

bool expand_matmulnbits(Build *b, Draft *d)
{
    NBits w;
    Value *in[3];
    Node *n;

    if (!nbits_init(b, d, &w) || !nbits_check(b, d, &w))
        return false;
    in[0] = d->in[0];
    in[1] = weights(b, &w);
    in[2] = draft_in(d, 5);
    n = b_node(b, OP_FusedMatMul, in[2] ? 3 : 2, in, 1);
    ATTRS(fusedmatmul, n)->transB = 1;
    d->out[0] = b_end(b, n);
    return true;
}

/* Rows of codes: a table [N, K] of 4-bit codes, or of bytes of packed ones.
 * Zero points of bytes are packed too and default to the middle. */

static bool table_init(Build *b, Draft *d, NBits *w)
{
    int64_t gather = 0, axis = 1;
    bool packed;

    *w = (NBits){ .bits = 4, .block = 128 };
    take_int(b, d, "bits", &w->bits);
    take_int(b, d, "block_size", &w->block);
    take_int(b, d, "gather_axis", &gather);
    take_int(b, d, "quantize_axis", &axis);
    if (!draft_arity(b, d, 3, 4, 1))
        return false;
    w->b = d->in[0];
    w->scales = d->in[2];
    w->zeros = draft_in(d, 3);
    packed = w->b->type.dt == DT_U8;
    if (!packed && w->b->type.dt != DT_U4 && w->b->type.dt != DT_I4)
        return draft_error(b, d, "a table of %s is not supported",
                           dtype_name(w->b->type.dt));
    if ((w->bits != 4 && w->bits != 8) || (!packed && w->bits != 4))
        return draft_error(b, d, "%lld bits are not supported",
                           (long long)w->bits);
    if (w->b->type.rank != 2 || gather || (axis != 1 && axis != -1))
        return draft_error(b, d, "only rows of a matrix, in blocks along "
                           "them, are supported");
    w->n = w->b->type.dim[0];
    w->k = w->b->type.dim[1] * (packed ? 8 / w->bits : 1);
    if (w->bits == 4 && w->k % 2)
        return draft_error(b, d, "rows of %lld nibbles do not end at a byte",
                           (long long)w->k);
    if (!value_is_const(w->b) || w->n < 1 || w->k < 1 || w->block < 16 ||
        w->block > 1 << 20)
        return draft_error(b, d, "the table is not constant, or block_size "
                           "%lld", (long long)w->block);
    w->blocks = (w->k + w->block - 1) / w->block;
    return true;
}

static bool table_check(Build *b, Draft *d, const NBits *w)
{
    bool packed = w->b->type.dt == DT_U8;
    int64_t zrow = packed ? (w->blocks * w->bits + 7) / 8 : w->blocks;

    if (type_elems(&w->scales->type) != w->n * w->blocks)
        return draft_error(b, d, "scales are not %lld x %lld",
                           (long long)w->n, (long long)w->blocks);
    if (w->zeros && (!value_is_const(w->zeros) ||
                     w->zeros->type.dt != w->b->type.dt ||
                     type_elems(&w->zeros->type) != w->n * zrow))
        return draft_error(b, d, "zero points are not %lld x %lld of the "
                           "table's type", (long long)w->n, (long long)zrow);
    return true;
}

bool expand_gatherblockquantized(Build *b, Draft *d)
{
    Value *in[3] = { NULL }, *rows = draft_in(d, 1);
    int64_t dim[2], sdim[2];
    DType dt;
    NBits w;
    Node *n;

    if (!table_init(b, d, &w) || !table_check(b, d, &w))
        return false;
    dt = w.b->type.dt == DT_U8 ? nbits_dtype(&w) : w.b->type.dt;
    dim[0] = sdim[0] = w.n;
    dim[1] = w.k;
    sdim[1] = w.blocks;
    in[0] = graph_const(b->g, NULL, type_make(dt, 2, dim), w.b->data);
    in[1] = b_reshape(b, w.scales, 2, sdim);
    if (w.b->type.dt == DT_U8)
        in[2] = zero_points(b, &w);
    else if (w.zeros)
        in[2] = b_reshape(b, w.zeros, 2, sdim);
    if (in[2] && w.blocks % 2)  /* rows of nibbles do not end at a byte */
        in[2] = b_cast(b, in[2], dt == DT_I4 ? DT_I8 : DT_U8);
    for (int i = 0; i < 3; i++)
        if (in[i])
            in[i] = b_op2(b, OP_Gather, in[i], rows);
    if (in[2])
        in[2] = b_cast(b, in[2], dt);
    n = b_node(b, OP_DequantizeLinear, in[2] ? 3 : 2, in, 1);
    ATTRS(quantize, n)->axis = -1;
    ATTRS(quantize, n)->block_size = w.block;
    d->out[0] = b_end(b, n);
    return true;
}
