/* qattention.c - attention over quantized codes, in integers: scores of one
 * query or of four against all keys, weights 2^-t in Q15, the mean of the
 * values. The arithmetic is stated in ir/ops/qattention.h. Queries are
 * widened to int16 with their zero point taken off; that of the keys cancels
 * in the softmax, that of the values is taken off the sums.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#define U uint32_t
#define A int64_t
#define T_LOWEST INT8_MIN
#define T_HIGHEST INT8_MAX
#endif
#include "kernel.h"

/* q = x - zero, d codes */
KERNEL void mcu_qattn_query_T(int16_t *q, const T *x, int d, int32_t zero)
{
    int i;

    for (i = 0; i < d; i++)
        q[i] = (int16_t)(x[i] - zero);
}

/* c[j] = a . row j of w: n rows of k elements, `step` apart, by four */
KERNEL void mcu_qattn_dot_T(int32_t *c, const int16_t *a, const T *w, int n,
                            int k, int step)
{
    const int whole = n - n % 4;
    int i, j;

    for (j = 0; j < whole; j += 4, w += 4 * step) {
        const T *w1 = w + step, *w2 = w1 + step, *w3 = w2 + step;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

        for (i = 0; i < k; i++) {
            s0 += a[i] * w[i];
            s1 += a[i] * w1[i];
            s2 += a[i] * w2[i];
            s3 += a[i] * w3[i];
        }
        c[j] = s0;
        c[j + 1] = s1;
        c[j + 2] = s2;
        c[j + 3] = s3;
    }
    for (; j < n; j++, w += step) {
        int32_t sum = 0;

        for (i = 0; i < k; i++)
            sum += a[i] * w[i];
        c[j] = sum;
    }
}

/* c[i * c_step + j] = row i of a . row j of w, k elements each; rows of a by
 * four, of w by two. gcc makes multiply-add instructions of it. */
KERNEL void mcu_qattn_scores_T(int32_t *c, int c_step, int rows,
                                 const int16_t *a, int a_step, const T *w,
                                 int n, int k, int step)
{
    int i, j, r;

    for (j = 0; j < n; j += 2, w += 2 * step)
        for (r = 0; r < rows; r += 4) {
            const int16_t *a0 = a + r * a_step, *a1 = a0 + a_step;
            const int16_t *a2 = a1 + a_step, *a3 = a2 + a_step;
            const T *v = j + 1 < n ? w + step : w;
            int32_t *to = c + r * c_step + j;
            int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
            int32_t t0 = 0, t1 = 0, t2 = 0, t3 = 0;

            for (i = 0; i < k; i++) {
                s0 += a0[i] * w[i];
                s1 += a1[i] * w[i];
                s2 += a2[i] * w[i];
                s3 += a3[i] * w[i];
                t0 += a0[i] * v[i];
                t1 += a1[i] * v[i];
                t2 += a2[i] * v[i];
                t3 += a3[i] * v[i];
            }
            to[0] = s0;
            to[c_step] = s1;
            to[2 * c_step] = s2;
            to[3 * c_step] = s3;
            if (j + 1 == n)
                continue;
            to[1] = t0;
            to[c_step + 1] = t1;
            to[2 * c_step + 1] = t2;
            to[3 * c_step + 1] = t3;
        }
}

/* The same for weights a and turned values w: in a model of equal layers each
 * of the two functions is called with constant arguments. */
KERNEL void mcu_qattn_means_T(int32_t *c, int c_step, int rows,
                              const int16_t *a, int a_step, const T *w,
                              int n, int k, int step)
{
    int i, j, r;

    for (j = 0; j < n; j += 2, w += 2 * step)
        for (r = 0; r < rows; r += 4) {
            const int16_t *a0 = a + r * a_step, *a1 = a0 + a_step;
            const int16_t *a2 = a1 + a_step, *a3 = a2 + a_step;
            const T *v = j + 1 < n ? w + step : w;
            int32_t *to = c + r * c_step + j;
            int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
            int32_t t0 = 0, t1 = 0, t2 = 0, t3 = 0;

            for (i = 0; i < k; i++) {
                s0 += a0[i] * w[i];
                s1 += a1[i] * w[i];
                s2 += a2[i] * w[i];
                s3 += a3[i] * w[i];
                t0 += a0[i] * v[i];
                t1 += a1[i] * v[i];
                t2 += a2[i] * v[i];
                t3 += a3[i] * v[i];
            }
            to[0] = s0;
            to[c_step] = s1;
            to[2 * c_step] = s2;
            to[3 * c_step] = s3;
            if (j + 1 == n)
                continue;
            to[1] = t0;
            to[c_step + 1] = t1;
            to[2 * c_step + 1] = t2;
            to[3 * c_step + 1] = t3;
        }
}

/* acc += sum over keys of p[j] * value j, d elements each */
KERNEL void mcu_qattn_mix_T(int32_t *restrict acc, const int16_t *restrict p,
                            const T *restrict v, int keys, int d, int step)
{
    const int whole = keys - keys % 4;
    int i, j;

    for (j = 0; j < whole; j += 4, v += 4 * step) {
        const int32_t p0 = p[j], p1 = p[j + 1], p2 = p[j + 2];
        const int32_t p3 = p[j + 3];
        const T *v1 = v + step, *v2 = v1 + step, *v3 = v2 + step;

        for (i = 0; i < d; i++)
            acc[i] += (p0 * v[i] + p1 * v1[i]) + (p2 * v2[i] + p3 * v3[i]);
    }
    for (; j < keys; j++, v += step) {
        const int32_t p0 = p[j];

        for (i = 0; i < d; i++)
            acc[i] += p0 * v[i];
    }
}

/* turned[i * n_all + j] = v[j * step + i] */
KERNEL void mcu_qattn_turn_T(T *restrict turned, const T *restrict v, int n,
                             int d, int step, int n_all)
{
    int i, j;

    for (i = 0; i < d; i++)
        for (j = 0; j < n; j++)
            turned[i * n_all + j] = v[j * step + i];
}

/* s[j] += addend of the mask's code; INT32_MIN hides the key */
KERNEL void mcu_qattn_mask_codes(int32_t *s, const uint8_t *mask,
                                 const int32_t *table, int n)
{
    int j;

    for (j = 0; j < n; j++) {
        const int32_t t = table[mask[j]];

        s[j] = t == INT32_MIN ? t : s[j] + t;
    }
}

KERNEL void mcu_qattn_mask(int32_t *s, const int32_t *addend, int n)
{
    int j;

    for (j = 0; j < n; j++)
        s[j] = addend[j] == INT32_MIN ? addend[j] : s[j] + addend[j];
}

/* 2^-t, t = d below the top, scaled to 32767 at the top */
KERNEL inline uint32_t mcu_qattn_weight(uint32_t d, uint32_t most,
                                        int before, uint32_t octaves)
{
    uint32_t t, g, x, down;

    d = d < most ? d : most;
    t = (uint32_t)((uint64_t)(d << before) * octaves >> 32);
    g = 32768u - (t & 32767u);
    down = (t >> 15) + 3;
    x = 6817u + (1774u * g >> 15);
    x = 31645u + (x * g >> 15);
    x = 90832u + (x * g >> 15);
    x = 131069u + (x * g >> 15);
    return (x + (1u << (down - 1))) >> down;
}

/* Weights p of n scores; returns their sum, which stays below `limit`; 0
 * when every key is hidden. */
KERNEL int32_t mcu_qattn_weigh(int16_t *restrict p, const int32_t *restrict s,
                               int n, uint32_t most, int before,
                               uint32_t octaves, uint32_t limit)
{
    int32_t top = INT32_MIN;
    uint32_t sum = 0;
    int j, half = 0;

    for (j = 0; j < n; j++)
        top = s[j] > top ? s[j] : top;
    if (top == INT32_MIN) {
        memset(p, 0, (size_t)n * sizeof *p);
        return 0;
    }
    for (j = 0; j < n; j++) {
        const uint32_t w = mcu_qattn_weight((uint32_t)top - (uint32_t)s[j],
                                            most, before, octaves);

        p[j] = (int16_t)w;
        sum += w;
    }
    while (sum >> half >= limit)
        half++;
    if (half) {
        const int round = 1 << half >> 1;

        sum = 0;
        for (j = 0; j < n; j++) {
            const int32_t w = (p[j] + round) >> half;

            p[j] = (int16_t)w;
            sum += (uint32_t)w;
        }
    }
    return (int32_t)sum;
}

/* y = the mean (acc - sum * zero point of v) / sum in codes of y */
KERNEL void mcu_qattn_put_I(I *y, const int32_t *acc, int n, int32_t sum,
                            int32_t v_zero, uint64_t numerator, int shift,
                            int32_t zero, int32_t lo, int32_t hi)
{
    const int32_t f = sum ? (int32_t)(numerator / (uint64_t)sum) : 0;
    const int64_t half = (int64_t)1 << (shift - 1);
    const int32_t minus = sum * v_zero;
    int i;

    for (i = 0; i < n; i++)
        y[i] = (I)mcu_code_wide((((int64_t)(acc[i] - minus) * f + half) >>
                                 shift) + zero, lo, hi);
}
