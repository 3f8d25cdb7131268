/* gather.c - movement by run-time indices: Gather, GatherND, OneHot, and the
 * writes of ScatterND and TensorScatter.
 *
 * Negative indices count from the end. An index that is still outside its
 * axis is clamped to the nearest element: whatever the indices are, nothing
 * outside the tensors is read or written.
 */
#include "kernel.h"

/* i in [-n, n) as 0..n-1, clamped; n is not 0 */
KERNEL size_t mcu_index_I(I i, size_t n)
{
    const int64_t last = (int64_t)n - 1;
    int64_t k = i;

    if (k < 0)
        k = k < -last ? 0 : k + last + 1;
    return (size_t)(k < last ? k : last);
}

/* Number of the slice that a tuple of `count` indices into dim[] names. */
KERNEL size_t mcu_tuple_I(const I *k, const uint32_t *dim, size_t count)
{
    size_t at = 0, i;

    for (i = 0; i < count; i++)
        at = at * dim[i] + mcu_index_I(k[i], dim[i]);
    return at;
}

/* y[outer][count] slices from x[outer][n], `bytes` each */
KERNEL void mcu_gather_I(void *y, const void *x, const I *k, size_t outer,
                         size_t n, size_t count, size_t bytes)
{
    const uint8_t *from = (const uint8_t *)x;
    uint8_t *to = (uint8_t *)y;
    size_t o, i;

    for (o = 0; o < outer; o++, from += n * bytes)
        for (i = 0; i < count; i++, to += bytes)
            memcpy(to, from + mcu_index_I(k[i], n) * bytes, bytes);
}

/* the same for slices of one element */
KERNEL void mcu_pick_T_I(T *restrict y, const T *x, const I *k, size_t outer,
                         size_t n, size_t count)
{
    size_t o, i;

    for (o = 0; o < outer; o++, x += n)
        for (i = 0; i < count; i++)
            *y++ = x[mcu_index_I(k[i], n)];
}

/* a number of any type as an integer; what no int64_t holds becomes one
 * that is no index */
KERNEL inline int64_t mcu_whole_I(I x)
{
    return (int64_t)x;
}

KERNEL inline int64_t mcu_whole_u64(uint64_t x)
{
    return x > INT64_MAX ? INT64_MAX : (int64_t)x;
}

KERNEL inline int64_t mcu_whole_f32(float x)
{
    return x > -9e18f && x < 9e18f ? (int64_t)x : INT64_MAX;
}

KERNEL inline int64_t mcu_whole_f64(double x)
{
    return x > -9e18 && x < 9e18 ? (int64_t)x : INT64_MAX;
}

/* y[outer][depth][inner] = value[1] where the depth is k[outer][inner],
 * value[0] elsewhere */
KERNEL void mcu_onehot_T_I(T *restrict y, const I *k, const T *value,
                           size_t outer, size_t depth, size_t inner)
{
    size_t o, i;

    for (o = 0; o < outer; o++, k += inner, y += depth * inner) {
        for (i = 0; i < depth * inner; i++)
            y[i] = value[0];
        for (i = 0; i < inner; i++) {
            int64_t hot = mcu_whole_I(k[i]);
            hot = hot < 0 ? hot + (int64_t)depth : hot;
            if (hot >= 0 && hot < (int64_t)depth)
                y[(size_t)hot * inner + i] = value[1];
        }
    }
}

/* Writes u[batch][per][rows] into y[batch][per][cache], slices of `bytes`,
 * from row at[batch] on (NULL: 0): around the end when `circular`, else moved
 * back to where it fits. rows <= cache, which is not 0. */
KERNEL void mcu_cache_write(void *y, const void *u, const int64_t *at,
                            size_t batch, size_t per, size_t cache,
                            size_t rows, size_t bytes, int circular)
{
    const uint8_t *from = (const uint8_t *)u;
    uint8_t *to = (uint8_t *)y;
    size_t b, p;

    for (b = 0; b < batch; b++) {
        const int64_t n = (int64_t)cache, room = n - (int64_t)rows;
        int64_t i = at ? at[b] : 0, first;
        if (circular)
            i = (i % n + n) % n;
        else
            i = i < 0 ? 0 : i < room ? i : room;
        first = i < room ? (int64_t)rows : n - i;
        for (p = 0; p < per; p++) {
            memcpy(to + (size_t)i * bytes, from, (size_t)first * bytes);
            memcpy(to, from + (size_t)first * bytes,
                   (rows - (size_t)first) * bytes);
            from += rows * bytes;
            to += cache * bytes;
        }
    }
}
