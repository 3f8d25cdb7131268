/* qdot4.c - products with int4 weights, and with scales per group of terms.
 *
 * The terms of a row fall into groups of k; a group takes (k + 1) / 2 bytes:
 * byte i holds term i below and term i + (k + 1) / 2 above, so that both
 * halves are contiguous. They are unpacked in registers. A sum of a group is
 * multiplied by the group's integer and added: factor [group][channel].
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#endif
#include "kernel.h"

/* c[32 i + j] for m <= 4 rows of a, `step` apart, and n rows of w, `row` bytes
 * apart */
KERNEL void mcu_qnibbles(int m, int k, int n, const int16_t *a, int step,
                         const uint8_t *w, int row, int32_t *c)
{
    const int h = (k + 1) / 2, pairs = k / 2;
    int i, j, r;

#if defined(__SSE2__) && defined(__GNUC__)
#if defined(__AVX2__)
    enum { LANES = 16 };
#define MCU_MADD __builtin_ia32_pmaddwd256
#else
    enum { LANES = 8 };
#define MCU_MADD __builtin_ia32_pmaddwd128
#endif
    typedef int32_t words __attribute__((vector_size(2 * LANES)));
    typedef int16_t halves __attribute__((vector_size(2 * LANES)));
    typedef uint16_t counts __attribute__((vector_size(2 * LANES)));
    typedef uint8_t bytes __attribute__((vector_size(LANES)));
    const int16_t *b = m > 1 ? a + step : a, *d = m > 2 ? b + step : a;
    const int16_t *e = m > 3 ? d + step : a;
    const words none = { 0 };
#define MCU_ROW(row, s)                                                   \
    memcpy(&x, row + i, sizeof x);                                        \
    s += (words)MCU_MADD(x, u);                                           \
    memcpy(&x, row + h + i, sizeof x);                                    \
    s += (words)MCU_MADD(x, v)

    for (j = 0; j < n; j++, w += row) {
        words s0 = none, s1 = none, s2 = none, s3 = none;
        int32_t sum[4] = { 0, 0, 0, 0 };

        for (i = 0; i + LANES <= pairs; i += LANES) {
            bytes wi;
            counts p;
            halves u, v, x;

            memcpy(&wi, w + i, LANES);
#if defined(__AVX2__) && !defined(__clang__)
            {
                typedef char v16 __attribute__((vector_size(16)));
                p = (counts)__builtin_ia32_pmovzxbw256((v16)wi);
            }
#else
            p = __builtin_convertvector(wi, counts);
#endif
            u = (halves)(p & 15) - 8;
            v = (halves)(p >> 4) - 8;
            MCU_ROW(a, s0);
            MCU_ROW(b, s1);
            MCU_ROW(d, s2);
            MCU_ROW(e, s3);
        }
#if defined(__AVX2__)
        {
            const words t = __builtin_ia32_phaddd256(
                __builtin_ia32_phaddd256(s0, s1),
                __builtin_ia32_phaddd256(s2, s3));

            for (r = 0; r < 4; r++)
                sum[r] = t[r] + t[r + 4];
        }
#else
        for (r = 0; r < LANES / 2; r++) {
            sum[0] += s0[r];
            sum[1] += s1[r];
            sum[2] += s2[r];
            sum[3] += s3[r];
        }
#endif
        for (; i < pairs; i++) {
            const int u = (w[i] & 15) - 8, v = (w[i] >> 4) - 8;

            sum[0] += a[i] * u + a[h + i] * v;
            sum[1] += b[i] * u + b[h + i] * v;
            sum[2] += d[i] * u + d[h + i] * v;
            sum[3] += e[i] * u + e[h + i] * v;
        }
        if (h > pairs) {
            const int u = (w[pairs] & 15) - 8;

            sum[0] += a[pairs] * u;
            sum[1] += b[pairs] * u;
            sum[2] += d[pairs] * u;
            sum[3] += e[pairs] * u;
        }
        for (r = 0; r < m; r++)
            c[j + 32 * r] = sum[r];
    }
#undef MCU_ROW
#undef MCU_MADD
#else
    for (j = 0; m == 4 && j < n; j++, w += row) {
        const int16_t *b = a + step, *d = b + step, *e = d + step;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

        for (i = 0; i < pairs; i++) {
            const int u = (w[i] & 15) - 8, v = (w[i] >> 4) - 8;

            s0 += a[i] * u + a[h + i] * v;
            s1 += b[i] * u + b[h + i] * v;
            s2 += d[i] * u + d[h + i] * v;
            s3 += e[i] * u + e[h + i] * v;
        }
        if (h > pairs) {
            const int u = (w[pairs] & 15) - 8;

            s0 += a[pairs] * u;
            s1 += b[pairs] * u;
            s2 += d[pairs] * u;
            s3 += e[pairs] * u;
        }
        c[j] = s0;
        c[j + 32] = s1;
        c[j + 64] = s2;
        c[j + 96] = s3;
    }
    for (j = 0; m < 4 && j < n; j++, w += row)
        for (r = 0; r < m; r++) {
            const int16_t *x = a + r * step, *z = x + h;
            int32_t s = 0;

            for (i = 0; i < pairs; i++)
                s += x[i] * ((w[i] & 15) - 8) + z[i] * ((w[i] >> 4) - 8);
            if (h > pairs)
                s += x[pairs] * ((w[pairs] & 15) - 8);
            c[j + 32 * r] = s;
        }
#endif
}

/* c += factor p for m rows of n columns */
KERNEL void mcu_qgroup(int m, int n, const int32_t *p, const int16_t *factor,
                       int32_t *c)
{
    int i, j;

    for (i = 0; i < m; i++)
        for (j = 0; j < n; j++)
            c[32 * i + j] += p[32 * i + j] * factor[j];
}

/* mcu_qcols_I with int4 weights in `groups` groups of k / groups terms;
 * factor NULL: one group */
KERNEL void mcu_qcols4_I(int m, int k, int n, const int16_t *a, int step,
                         const uint8_t *w, const int32_t *bias,
                         const int32_t *mult, const int32_t *q, I *y,
                         int y_step, int groups, const int16_t *factor)
{
    const int kg = k / groups, bytes = (kg + 1) / 2, row = groups * bytes;
    int32_t c[4 * 32], p[4 * 32];
    int j, g;

    for (j = 0; j < n; j += 32) {
        const int wide = n - j < 32 ? n - j : 32;

        memset(c, 0, sizeof c);
        for (g = 0; g < groups; g++) {
            int32_t *const t = factor ? p : c;
            const uint8_t *v = w + j * row + g * bytes;

            mcu_qnibbles(m, kg, wide, a + g * kg, step, v, row, t);
            if (factor)
                mcu_qgroup(m, wide, p, factor + g * n + j, c);
        }
        mcu_qputs_I(q, m, wide, c, 32, bias ? bias + j : NULL,
                    mult + (q[4] ? j : 0), y + j, y_step);
    }
}

/* mcu_qmatmul_T_I with int4 weights; g[11]: groups. Stack: 1280 bytes */
KERNEL void mcu_qmatmul4_T_I(const int32_t *g, const T *x, const uint8_t *w,
                             const int32_t *bias, const int32_t *mult,
                             int16_t *s, I *y, const int16_t *factor)
{
    const int rows = g[0], k = g[1], n = g[2];
    int i, m;

    for (i = 0; i < rows; i += m) {
        int at;

        m = rows - i < g[4] ? rows - i : g[4];
        at = g[5] ? rows - i - m : i;
        mcu_qwiden_T(m * k, x + at * k, g[3], s);
        mcu_qcols4_I(m, k, n, s, k, w, bias, mult, g + 6, y + at * n, n,
                     g[11], factor);
    }
}

/* mcu_qcols_I with int8 weights whose groups have factors */
KERNEL void mcu_qcols8_I(int m, int k, int n, const int16_t *a, int step,
                         const int8_t *w, const int32_t *bias,
                         const int32_t *mult, const int32_t *q, I *y,
                         int y_step, int groups, const int16_t *factor)
{
    const int kg = k / groups;
    int32_t c[4 * 32], p[4 * 32];
    int j, g;

    for (j = 0; j < n; j += 32) {
        const int wide = n - j < 32 ? n - j : 32;

        memset(c, 0, sizeof c);
        for (g = 0; g < groups; g++) {
            const int8_t *v = w + j * k + g * kg;

            if (m == 4)
                mcu_qdot4_s8(kg, kg / 16 * 16, wide, a + g * kg, step, v, k,
                             p);
            else
                mcu_qdot1_s8(kg, kg / 16 * 16, wide, a + g * kg, v, k, p);
            mcu_qgroup(m, wide, p, factor + g * n + j, c);
        }
        mcu_qputs_I(q, m, wide, c, 32, bias ? bias + j : NULL,
                    mult + (q[4] ? j : 0), y + j, y_step);
    }
}

/* mcu_qmatmul_T_I with factors per group; g[11]: groups. Stack: 1280 bytes */
KERNEL void mcu_qmatmul8_T_I(const int32_t *g, const T *x, const int8_t *w,
                             const int32_t *bias, const int32_t *mult,
                             int16_t *s, I *y, const int16_t *factor)
{
    const int rows = g[0], k = g[1], n = g[2];
    int i, m;

    for (i = 0; i < rows; i += m) {
        int at;

        m = rows - i < g[4] ? 1 : g[4];
        at = g[5] ? rows - i - m : i;
        mcu_qwiden_T(m * k, x + at * k, g[3], s);
        mcu_qcols8_I(m, k, n, s, k, w, bias, mult, g + 6, y + at * n, n,
                     g[11], factor);
    }
}
