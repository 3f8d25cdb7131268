/* qpair.c - integer products of few terms (k <= 64), where adding up across
 * a vector would cost more than the products: sums of 16 columns side by
 * side, two terms at a time. Weights are packed [columns / 16][k / 2][16][2];
 * the last panel is 8 columns wide where it has no more than 8, k is rounded
 * up with zeros.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#endif
#include "kernel.h"

/* c[32 i + j] for one row a and `cols` columns of a panel that is `width`
 * columns wide */
KERNEL void mcu_qpair1(int pairs, int width, int cols, const int16_t *a,
                       const int8_t *w, int32_t *c)
{
    int i, j;

    for (j = 0; j < cols; j++) {
        const int8_t *p = w + 2 * j;
        int32_t s = 0;

        for (i = 0; i < pairs; i++, p += 2 * width)
            s += a[2 * i] * p[0] + a[2 * i + 1] * p[1];
        c[j] = s;
    }
}

/* the same for four rows, all columns of the panel */
KERNEL void mcu_qpair4(int pairs, int width, int cols, const int16_t *a,
                       int step, const int8_t *w, int32_t *c)
{
#if defined(__AVX2__) && defined(__GNUC__)
    const int16_t *b = a + step, *d = b + step, *e = d + step;
    typedef int32_t v8si __attribute__((vector_size(32)));
    typedef int16_t v16hi __attribute__((vector_size(32)));
#if defined(__clang__)
    typedef int8_t v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) __builtin_convertvector(x, v16hi)
#else
    typedef char v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) (v16hi)__builtin_ia32_pmovsxbw256(x)
#endif
#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && !defined(__clang__)
#define MCU_MADD(s, x, y) (s = __builtin_ia32_vpdpwssd_v8si(s, (v8si)x,     \
                                                            (v8si)y))
#else
#define MCU_MADD(s, x, y) (s += (v8si)__builtin_ia32_pmaddwd256(x, y))
#endif
#define MCU_ROW(row, s, t)                                                \
    memcpy(&two, row + 2 * i, 4);                                         \
    x = (v16hi)(none + two);                                              \
    MCU_MADD(s, x, p);                                                    \
    MCU_MADD(t, x, q)
    const v8si none = { 0 };
    v8si s0 = none, s1 = none, s2 = none, s3 = none;
    v8si t0 = none, t1 = none, t2 = none, t3 = none;
    int i;

    (void)cols;
    for (i = 0; i < pairs; i++, w += 2 * width) {
        int32_t two;
        v16 wi;
        v16hi p, q, x;

        memcpy(&wi, w, 16);
        p = MCU_WIDEN(wi);
        if (width == 8) {
            q = (v16hi)none;
        } else {
            memcpy(&wi, w + 16, 16);
            q = MCU_WIDEN(wi);
        }
        MCU_ROW(a, s0, t0);
        MCU_ROW(b, s1, t1);
        MCU_ROW(d, s2, t2);
        MCU_ROW(e, s3, t3);
    }
    memcpy(c, &s0, 32);
    memcpy(c + 32, &s1, 32);
    memcpy(c + 64, &s2, 32);
    memcpy(c + 96, &s3, 32);
    memcpy(c + 8, &t0, 32);
    memcpy(c + 40, &t1, 32);
    memcpy(c + 72, &t2, 32);
    memcpy(c + 104, &t3, 32);
#undef MCU_ROW
#undef MCU_WIDEN
#undef MCU_MADD
#else
    int i;

    for (i = 0; i < 4; i++)
        mcu_qpair1(pairs, width, cols, a + i * step, w, c + 32 * i);
#endif
}

/* as mcu_qcols_I; rows of a are followed by a zero where k is odd */
KERNEL void mcu_qpanels_I(int m, int k, int n, const int16_t *a, int step,
                          const int8_t *w, const int32_t *bias,
                          const int32_t *mult, const int32_t *q, I *y,
                          int y_step)
{
    const int pairs = (k + 1) / 2;
    int32_t c[4 * 32];
    int i, j;

    for (j = 0; j < n; j += 16, w += 32 * pairs) {
        const int cols = n - j < 16 ? n - j : 16, width = cols > 8 ? 16 : 8;

        if (m == 4)
            mcu_qpair4(pairs, width, cols, a, step, w, c);
        else
            mcu_qpair1(pairs, width, cols, a, w, c);
        for (i = 0; i < m; i++)
            mcu_qput_I(q, cols, c + 32 * i, bias ? bias + j : NULL, 0,
                       mult + (q[4] ? j : 0), y + i * y_step + j);
    }
}

/* mcu_qmatmul_T_I with weights in panels. Stack: 640 bytes */
KERNEL void mcu_qmatmul2_T_I(const int32_t *g, const T *x, const int8_t *w,
                             const int32_t *bias, const int32_t *mult,
                             int16_t *s, I *y)
{
    const int rows = g[0], k = g[1], n = g[2], step = (k + 1) / 2 * 2;
    int i, m;

    for (i = 0; i < rows; i += m) {
        int at;

        m = rows - i < g[4] ? 1 : g[4];
        at = g[5] ? rows - i - m : i;
        mcu_qrowsin_T(m, k, step, x + at * k, g[3], s);
        mcu_qpanels_I(m, k, n, s, step, w, bias, mult, g + 6, y + at * n, n);
    }
}

/* mcu_qconv8_T_I of one group with weights in panels. Stack: 640 bytes */
KERNEL void mcu_qconv2_T_I(const int32_t *g, const T *const *row,
                           const int8_t *w, const int32_t *bias,
                           const int32_t *mult, int16_t *s, I *y)
{
    const int k = g[2] * g[3] * g[7], step = (k + 1) / 2 * 2;
    const int ow = g[1], n = g[9];
    int i, m;

    for (i = 0; i < ow; i += m) {
        int at;

        m = ow - i < g[11] ? 1 : g[11];
        at = g[12] ? ow - i - m : i;
        mcu_qwindows_T(g, row, at, m, step, s);
        mcu_qpanels_I(m, k, n, s, step, w, bias, mult, g + 14, y + at * n,
                      n);
    }
}
