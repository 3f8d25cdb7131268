/* pool.c - pools over images in NCHW order. The geometry g is that of
 * conv.c with three numbers more: the pads at the end, g[18] to g[20].
 * One tap of the window at a time is combined with a whole row of results.
 */
#include "kernel.h"

/* where the image row starts that kernel row (kz, ky) reads for output row
 * (oz, oy); -1 in the padding */
KERNEL int mcu_row_at(const int32_t *g, int oz, int oy, int kz, int ky)
{
    const int iz = oz * g[9] - g[15] + kz * g[12];
    const int iy = oy * g[10] - g[16] + ky * g[13];

    if (iz < 0 || iz >= g[0] || iy < 0 || iy >= g[1])
        return -1;
    return (iz * g[1] + iy) * g[2];
}

/* taps of output o of an axis inside the image, or its declared padding */
KERNEL int mcu_taps(const int32_t *g, int axis, int o, int padding)
{
    const int d = g[12 + axis], at = o * g[9 + axis] - g[15 + axis];
    const int end = g[axis] - at + (padding ? g[18 + axis] : 0);
    const int lo = at < 0 && !padding ? (d - 1 - at) / d : 0;
    int hi = end > 0 ? (end + d - 1) / d : 0;

    hi = hi < g[6 + axis] ? hi : g[6 + axis];
    return hi > lo ? hi - lo : 0;
}

/* y[j] = max(y[j], x[j * step]), NaN if one of them is */
KERNEL void mcu_max_row_T(int n, const T *restrict x, int step, T *restrict y)
{
    int j;

    if (step == 1)
        for (j = 0; j < n; j++)
            y[j] = mcu_acc_max_T(y[j], x[j]);
    else
        for (j = 0; j < n; j++)
            y[j] = mcu_acc_max_T(y[j], x[j * step]);
}

KERNEL void mcu_maxpool_T(const int32_t *g, int images, const T *x, T *y)
{
    int i, oz, oy, kz, ky, kx, j, lo, hi;

    for (i = 0; i < images; i++, x += g[0] * g[1] * g[2])
        for (oz = 0; oz < g[3]; oz++)
            for (oy = 0; oy < g[4]; oy++, y += g[5]) {
                for (j = 0; j < g[5]; j++)
                    y[j] = T_LOWEST;
                for (kz = 0; kz < g[6]; kz++)
                    for (ky = 0; ky < g[7]; ky++) {
                        const int at = mcu_row_at(g, oz, oy, kz, ky);
                        for (kx = 0; at >= 0 && kx < g[8]; kx++) {
                            mcu_span(g, 2, kx, &lo, &hi);
                            if (lo < hi)
                                mcu_max_row_T(hi - lo, x + at + lo * g[11] -
                                              g[17] + kx * g[14], g[11],
                                              y + lo);
                        }
                    }
            }
}

/* x is greater; NaN is greater than every number */
KERNEL inline int mcu_beats_T(T x, T most)
{
    return x > most;
}

KERNEL inline int mcu_beats_f32(float x, float most)
{
    return (x > most) | ((x != x) & (most == most));
}

KERNEL inline int mcu_beats_f64(double x, double most)
{
    return (x > most) | ((x != x) & (most == most));
}

/* Also where each maximum was, as an index into all of x; column_major: the
 * spatial axes count the other way round. y may be NULL. */
KERNEL void mcu_maxpool_index_T(const int32_t *g, int images,
                                int column_major, const T *x, T *y,
                                int64_t *index)
{
    const int image = g[0] * g[1] * g[2], outs = g[3] * g[4] * g[5];
    int i, o, kz, ky, kx;

    for (i = 0; i < images * outs; i++) {
        const T *from = x + i / outs * image;
        int best = -1;
        T most = T_LOWEST;
        o = i % outs;
        for (kz = 0; kz < g[6]; kz++)
            for (ky = 0; ky < g[7]; ky++) {
                const int at = mcu_row_at(g, o / g[5] / g[4],
                                          o / g[5] % g[4], kz, ky);
                for (kx = 0; at >= 0 && kx < g[8]; kx++) {
                    const int ix = o % g[5] * g[11] - g[17] + kx * g[14];
                    if (ix < 0 || ix >= g[2])
                        continue;
                    if (best < 0 || mcu_beats_T(from[at + ix], most)) {
                        best = at + ix;
                        most = from[best];
                    }
                }
            }
        if (y)
            y[i] = most;
        if (best >= 0 && column_major)
            best = best / (g[1] * g[2]) + g[0] * (best / g[2] % g[1] +
                                                  g[1] * (best % g[2]));
        index[i] = best < 0 ? -1 : (int64_t)(i / outs) * image + best;
    }
}

/* y[j] += x[j * step] */
KERNEL void mcu_sum_row_T(int n, const T *restrict x, int step, T *restrict y)
{
    int j;

    if (step == 1)
        for (j = 0; j < n; j++)
            y[j] += x[j];
    else
        for (j = 0; j < n; j++)
            y[j] += x[j * step];
}

/* include: padding counts in the divisor */
KERNEL void mcu_averagepool_T(const int32_t *g, int images, int include,
                              const T *x, T *y)
{
    int i, oz, oy, kz, ky, kx, j, lo, hi;

    for (i = 0; i < images; i++, x += g[0] * g[1] * g[2])
        for (oz = 0; oz < g[3]; oz++)
            for (oy = 0; oy < g[4]; oy++, y += g[5]) {
                const int rows = mcu_taps(g, 0, oz, include) *
                                 mcu_taps(g, 1, oy, include);
                for (j = 0; j < g[5]; j++)
                    y[j] = 0;
                for (kz = 0; kz < g[6]; kz++)
                    for (ky = 0; ky < g[7]; ky++) {
                        const int at = mcu_row_at(g, oz, oy, kz, ky);
                        for (kx = 0; at >= 0 && kx < g[8]; kx++) {
                            mcu_span(g, 2, kx, &lo, &hi);
                            if (lo < hi)
                                mcu_sum_row_T(hi - lo, x + at + lo * g[11] -
                                              g[17] + kx * g[14], g[11],
                                              y + lo);
                        }
                    }
                for (j = 0; j < g[5]; j++) {
                    const int n = rows * mcu_taps(g, 2, j, include);
                    y[j] /= (T)(n ? n : 1);
                }
            }
}

/* x^p for x >= 0, and the way back */
KERNEL float mcu_power_f32(float x, int p)
{
    return p == 1 ? x : p == 2 ? x * x : powf(x, (float)p);
}

KERNEL double mcu_power_f64(double x, int p)
{
    return p == 1 ? x : p == 2 ? x * x : pow(x, p);
}

KERNEL float mcu_root_f32(float x, int p)
{
    return p == 1 ? x : p == 2 ? sqrtf(x) : powf(x, 1.0f / (float)p);
}

KERNEL double mcu_root_f64(double x, int p)
{
    return p == 1 ? x : p == 2 ? sqrt(x) : pow(x, 1.0 / p);
}

KERNEL void mcu_lppool_T(const int32_t *g, int images, int p, const T *x,
                         T *y)
{
    int i, oz, oy, kz, ky, kx, j, lo, hi;

    for (i = 0; i < images; i++, x += g[0] * g[1] * g[2])
        for (oz = 0; oz < g[3]; oz++)
            for (oy = 0; oy < g[4]; oy++, y += g[5]) {
                for (j = 0; j < g[5]; j++)
                    y[j] = 0;
                for (kz = 0; kz < g[6]; kz++)
                    for (ky = 0; ky < g[7]; ky++) {
                        const int at = mcu_row_at(g, oz, oy, kz, ky);
                        for (kx = 0; at >= 0 && kx < g[8]; kx++) {
                            const T *row = x + at;
                            mcu_span(g, 2, kx, &lo, &hi);
                            for (j = lo; j < hi; j++) {
                                const T v = row[j * g[11] - g[17] +
                                                kx * g[14]];
                                y[j] += mcu_power_T(v < 0 ? -v : v, p);
                            }
                        }
                    }
                for (j = 0; j < g[5]; j++)
                    y[j] = mcu_root_T(y[j], p);
            }
}

/* sum of n elements, in 32 sums side by side */
KERNEL T mcu_sum_T(int n, const T *x)
{
    T lane[32] = { 0 }, sum = 0;
    int i, j;

    for (i = 0; i + 32 <= n; i += 32)
        for (j = 0; j < 32; j++)
            lane[j] += x[i + j];
    for (i = n - n % 32; i < n; i++)
        sum += x[i];
    for (j = 0; j < 32; j++)
        sum += lane[j];
    return sum;
}

KERNEL void mcu_globalaverage_T(int images, int n, const T *x, T *y)
{
    int i;

    for (i = 0; i < images; i++)
        y[i] = mcu_sum_T(n, x + i * n) / (T)n;
}

KERNEL void mcu_globalmax_T(int images, int n, const T *x, T *y)
{
    int i, j;

    for (i = 0; i < images; i++) {
        const T *row = x + i * n;
        T most = row[0];
        for (j = 1; j < n; j++)
            most = mcu_acc_max_T(most, row[j]);
        y[i] = most;
    }
}

KERNEL void mcu_globallp_T(int images, int n, int p, const T *x, T *y)
{
    int i, j;

    for (i = 0; i < images; i++) {
        const T *row = x + i * n;
        T sum = 0;
        for (j = 0; j < n; j++)
            sum += mcu_power_T(row[j] < 0 ? -row[j] : row[j], p);
        y[i] = mcu_root_T(sum, p);
    }
}

/* y[place of index[i]] = x[i]. Indices count in the shape `own`, which is
 * the corner of y's shape `dim`; one outside is left out. */
KERNEL void mcu_unpool_T(int rank, const int32_t *own, const int32_t *dim,
                         int n, const T *x, const int64_t *index, T *y)
{
    int64_t total = 1, size = 1;
    int i, d;

    for (d = 0; d < rank; d++) {
        total *= own[d];
        size *= dim[d];
    }
    memset(y, 0, (size_t)size * sizeof *y);
    for (i = 0; i < n; i++) {
        int64_t k = index[i], at = 0, step = 1;
        if (k < 0 || k >= total)
            continue;
        for (d = rank - 1; d >= 0; d--) {
            at += k % own[d] * step;
            k /= own[d];
            step *= dim[d];
        }
        y[at] = x[i];
    }
}
