/* qpair.c - integer products of four rows at a time: sums of 16 columns side
 * by side, two terms at a time, so that nothing is added up across a vector.
 * Weights are packed [columns / 16][k / 2][16][2];
 * the last panel is 8 columns wide where it has no more than 8, k is rounded
 * up with zeros.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#endif
#include "kernel.h"

/* c[16 i + j] += for m <= 4 rows a and 16 columns of a panel, even and odd
 * pairs in sums of their own; 0: not with this compiler's target */
KERNEL int mcu_qpair_wide(int m, int pairs, const int16_t *a, int step,
                          const int8_t *w, int32_t *c)
{
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__GNUC__)
    typedef int32_t v16si __attribute__((vector_size(64)));
    typedef int16_t v32hi __attribute__((vector_size(64)));
#if defined(__clang__)
    typedef int8_t v32 __attribute__((vector_size(32)));
#define MCU_WIDEN(x) (v16si)__builtin_convertvector(x, v32hi)
#define MCU_MADD(s, x, y) (s = __builtin_ia32_vpdpwssd512(s, x, y))
#else
    typedef char v32 __attribute__((vector_size(32)));
#define MCU_WIDEN(x)                                                        \
    (v16si)__builtin_ia32_pmovsxbw512_mask(x, (v32hi)none, 0xffffffffu)
#define MCU_MADD(s, x, y) (s = __builtin_ia32_vpdpwssd_v16si(s, x, y))
#endif
#define MCU_PANEL(i)                                                        \
    memcpy(&v, w + (i) * 32, 32);                                           \
    p = MCU_WIDEN(v)
#define MCU_ROW(row, s, i)                                                  \
    memcpy(&two, row + 2 * (i), 4);                                         \
    MCU_MADD(s, p, none + two)
    const int16_t *b = m > 1 ? a + step : a, *d = m > 2 ? b + step : a;
    const int16_t *e = m > 3 ? d + step : a;
    const v16si none = { 0 };
    v16si s0, s1 = none, s2 = none, s3 = none, p;
    v16si t0 = none, t1 = none, t2 = none, t3 = none;
    int32_t two;
    v32 v;
    int i;

    memcpy(&s0, c, 64);
    if (m == 1) {
        for (i = 0; i + 3 < pairs; i += 4) {
            MCU_PANEL(i);
            MCU_ROW(a, s0, i);
            MCU_PANEL(i + 1);
            MCU_ROW(a, t0, i + 1);
            MCU_PANEL(i + 2);
            MCU_ROW(a, s1, i + 2);
            MCU_PANEL(i + 3);
            MCU_ROW(a, t1, i + 3);
        }
        for (; i < pairs; i++) {
            MCU_PANEL(i);
            MCU_ROW(a, s0, i);
        }
        s0 += t0 + (s1 + t1);
        memcpy(c, &s0, 64);
        return 1;
    }
    memcpy(&s1, c + 16, 64);
    memcpy(&s2, c + 32, 64);
    memcpy(&s3, c + 48, 64);
    for (i = 0; i + 1 < pairs; i += 2) {
        MCU_PANEL(i);
        MCU_ROW(a, s0, i);
        MCU_ROW(b, s1, i);
        MCU_ROW(d, s2, i);
        MCU_ROW(e, s3, i);
        MCU_PANEL(i + 1);
        MCU_ROW(a, t0, i + 1);
        MCU_ROW(b, t1, i + 1);
        MCU_ROW(d, t2, i + 1);
        MCU_ROW(e, t3, i + 1);
    }
    if (i < pairs) {
        MCU_PANEL(i);
        MCU_ROW(a, s0, i);
        MCU_ROW(b, s1, i);
        MCU_ROW(d, s2, i);
        MCU_ROW(e, s3, i);
    }
    s0 += t0;
    s1 += t1;
    s2 += t2;
    s3 += t3;
    memcpy(c, &s0, 64);
    memcpy(c + 16, &s1, 64);
    memcpy(c + 32, &s2, 64);
    memcpy(c + 48, &s3, 64);
#undef MCU_PANEL
#undef MCU_ROW
#undef MCU_WIDEN
#undef MCU_MADD
    return 1;
#else
    (void)m, (void)pairs, (void)a, (void)step, (void)w, (void)c;
    return 0;
#endif
}

/* c[16 i + j] += for m <= 4 rows a and `cols` <= 16 columns of a panel that
 * is `width` columns wide; c has four rows */
KERNEL void mcu_qpair_any(int m, int pairs, int width, int cols,
                          const int16_t *a, int step, const int8_t *w,
                          int32_t *c)
{
#if defined(__AVX2__) && defined(__GNUC__)
    typedef int32_t v8si __attribute__((vector_size(32)));
    typedef int16_t v16hi __attribute__((vector_size(32)));
#if defined(__clang__)
    typedef int8_t v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) __builtin_convertvector(x, v16hi)
#else
    typedef char v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) (v16hi)__builtin_ia32_pmovsxbw256(x)
#endif
#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__clang__)
#define MCU_MADD(s, x, y) (s = __builtin_ia32_vpdpwssd256(s, (v8si)x,       \
                                                          (v8si)y))
#elif defined(__AVX512VNNI__) && defined(__AVX512VL__)
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
#define MCU_BOTH                                                          \
    memcpy(&wi, w, 16);                                                   \
    p = MCU_WIDEN(wi);                                                    \
    if (width > 8) {                                                      \
        memcpy(&wi, w + 16, 16);                                          \
        q = MCU_WIDEN(wi);                                                \
    }
    const int16_t *b = m > 1 ? a + step : a, *d = m > 2 ? b + step : a;
    const int16_t *e = m > 3 ? d + step : a;
    const v8si none = { 0 };
    v8si s0, s1, s2, s3, t0, t1, t2, t3;
    v16hi p, q = (v16hi)none, x;
    int32_t two;
    v16 wi;
    int i;

    (void)cols;
    memcpy(&s0, c, 32);
    memcpy(&t0, c + 8, 32);
    if (m == 1) {               /* even and odd terms in two sums each */
        s1 = t1 = none;
        for (i = 0; i + 1 < pairs; i++, w += 2 * width) {
            MCU_BOTH
            MCU_ROW(a, s0, t0);
            i++;
            w += 2 * width;
            MCU_BOTH
            MCU_ROW(a, s1, t1);
        }
        if (i < pairs) {
            MCU_BOTH
            MCU_ROW(a, s0, t0);
        }
        s0 += s1;
        t0 += t1;
        memcpy(c, &s0, 32);
        memcpy(c + 8, &t0, 32);
        return;
    }
    memcpy(&s1, c + 16, 32);
    memcpy(&t1, c + 24, 32);
    memcpy(&s2, c + 32, 32);
    memcpy(&t2, c + 40, 32);
    memcpy(&s3, c + 48, 32);
    memcpy(&t3, c + 56, 32);
    for (i = 0; i < pairs; i++, w += 2 * width) {
        MCU_BOTH
        MCU_ROW(a, s0, t0);
        MCU_ROW(b, s1, t1);
        MCU_ROW(d, s2, t2);
        MCU_ROW(e, s3, t3);
    }
    memcpy(c, &s0, 32);
    memcpy(c + 16, &s1, 32);
    memcpy(c + 32, &s2, 32);
    memcpy(c + 48, &s3, 32);
    memcpy(c + 8, &t0, 32);
    memcpy(c + 24, &t1, 32);
    memcpy(c + 40, &t2, 32);
    memcpy(c + 56, &t3, 32);
#undef MCU_BOTH
#undef MCU_ROW
#undef MCU_WIDEN
#undef MCU_MADD
#elif defined(__SSE2__) && defined(__GNUC__)
    typedef int32_t v4si __attribute__((vector_size(16)));
    typedef int16_t v8hi __attribute__((vector_size(16)));
#if defined(__clang__)
    typedef int8_t v16 __attribute__((vector_size(16)));
#define MCU_LOW(a, b)                                                       \
    (v8hi)__builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20,  \
                                  5, 21, 6, 22, 7, 23)
#define MCU_HIGH(a, b)                                                      \
    (v8hi)__builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12,   \
                                  28, 13, 29, 14, 30, 15, 31)
#else
    typedef char v16 __attribute__((vector_size(16)));
#define MCU_LOW(a, b) (v8hi)__builtin_ia32_punpcklbw128(a, b)
#define MCU_HIGH(a, b) (v8hi)__builtin_ia32_punpckhbw128(a, b)
#endif
#define MCU_PANEL(at)                                                         \
    memcpy(&u, at, 16);                                                     \
    p = MCU_LOW(u, u) >> 8;                                                 \
    q = MCU_HIGH(u, u) >> 8
#define MCU_ROW(row, s, t, i)                                               \
    memcpy(&two, row + 2 * (i), 4);                                         \
    x = (v8hi)(none + two);                                                 \
    s += (v4si)__builtin_ia32_pmaddwd128(x, p);                             \
    t += (v4si)__builtin_ia32_pmaddwd128(x, q)
    const int16_t *b = m > 1 ? a + step : a, *d = m > 2 ? b + step : a;
    const int16_t *e = m > 3 ? d + step : a;
    const v4si none = { 0 };
    int i, j;

    for (j = 0; j < cols; j += 8) {
        const int8_t *at = w + 2 * j;
        v4si s0, s1, s2, s3, t0, t1, t2, t3;
        v8hi p, q, x;
        int32_t two;
        v16 u;

        memcpy(&s0, c + j, 16);
        memcpy(&t0, c + j + 4, 16);
        if (m == 1 && cols > 8) {       /* both halves of the panel */
            memcpy(&s1, c + 8, 16);
            memcpy(&t1, c + 12, 16);
            for (i = 0; i < pairs; i++, at += 32) {
                MCU_PANEL(at);
                MCU_ROW(a, s0, t0, i);
                MCU_PANEL(at + 16);
                MCU_ROW(a, s1, t1, i);
            }
            memcpy(c, &s0, 16);
            memcpy(c + 4, &t0, 16);
            memcpy(c + 8, &s1, 16);
            memcpy(c + 12, &t1, 16);
            return;
        }
        memcpy(&s1, c + j + 16, 16);
        memcpy(&t1, c + j + 20, 16);
        memcpy(&s2, c + j + 32, 16);
        memcpy(&t2, c + j + 36, 16);
        memcpy(&s3, c + j + 48, 16);
        memcpy(&t3, c + j + 52, 16);
        for (i = 0; i < pairs; i++, at += 2 * width) {
            MCU_PANEL(at);
            MCU_ROW(a, s0, t0, i);
            MCU_ROW(b, s1, t1, i);
            MCU_ROW(d, s2, t2, i);
            MCU_ROW(e, s3, t3, i);
        }
        memcpy(c + j, &s0, 16);
        memcpy(c + j + 4, &t0, 16);
        memcpy(c + j + 16, &s1, 16);
        memcpy(c + j + 20, &t1, 16);
        memcpy(c + j + 32, &s2, 16);
        memcpy(c + j + 36, &t2, 16);
        memcpy(c + j + 48, &s3, 16);
        memcpy(c + j + 52, &t3, 16);
    }
#undef MCU_PANEL
#undef MCU_ROW
#undef MCU_LOW
#undef MCU_HIGH
#else
    int i, j;

    for (; m > 0; m--, a += step, c += 16)
        for (j = 0; j < cols; j += 4) {
            int32_t s0 = c[j], s1 = c[j + 1], s2 = c[j + 2], s3 = c[j + 3];
            const int8_t *p = w + 2 * j;
            const int16_t *v = a;

            for (i = pairs; i > 0; i--, v += 2, p += 2 * width) {
                const int32_t x = v[0], y = v[1];

#if defined(__GNUC__)           /* else gcc makes slow vectors for Helium */
                __asm__("" : "+r"(s0));
#endif
                s0 += x * p[0];     /* one by one: multiply and add */
                s0 += y * p[1];
                s1 += x * p[2];
                s1 += y * p[3];
                s2 += x * p[4];
                s2 += y * p[5];
                s3 += x * p[6];
                s3 += y * p[7];
            }
            c[j] = s0;
            c[j + 1] = s1;
            c[j + 2] = s2;
            c[j + 3] = s3;
        }
#endif
}

/* the same, the fastest way there is */
KERNEL void mcu_qpair(int m, int pairs, int width, int cols,
                      const int16_t *a, int step, const int8_t *w,
                      int32_t *c)
{
    if (width > 8 && mcu_qpair_wide(m, pairs, a, step, w, c))
        return;
    mcu_qpair_any(m, pairs, width, cols, a, step, w, c);
}

/* as mcu_qcols_I; rows of a are followed by a zero where k is odd. w has
 * `terms` >= k rows and `all` >= n columns. */
KERNEL void mcu_qpanels_I(int m, int k, int n, const int16_t *a, int step,
                          const int8_t *w, int terms, int all,
                          const int32_t *bias, const int32_t *mult,
                          const int32_t *q, I *y, int y_step)
{
    const int pairs = (k + 1) / 2;
    int32_t c[4 * 16];
    int j;

    for (j = 0; j < n; j += 16, w += (terms + 1) / 2 * 32) {
        const int cols = n - j < 16 ? n - j : 16;
        const int width = all - j > 8 ? 16 : 8;

        memset(c, 0, sizeof c);
        mcu_qpair(m, pairs, width, cols, a, step, w, c);
        mcu_qputs_I(q, m, cols, c, 16, bias ? bias + j : NULL,
                    mult + (q[4] ? j : 0), y + j, y_step);
    }
}

/* mcu_qmatmul_T_I with weights in panels; g[12], g[13]: terms and columns
 * that they have, of which k and n are the first. Stack: 384 bytes */
KERNEL void mcu_qmatmul2_T_I(const int32_t *g, const T *x, const int8_t *w,
                             const int32_t *bias, const int32_t *mult,
                             int16_t *s, I *y)
{
    const int rows = g[0], k = g[1], n = g[2], step = (k + 1) / 2 * 2;
    int i, m;

    for (i = 0; i < rows; i += m) {
        int at;

        m = rows - i < g[4] ? rows - i : g[4];
        at = g[5] ? rows - i - m : i;
        mcu_qrowsin_T(m, k, step, x + at * k, g[3], s);
        mcu_qpanels_I(m, k, n, s, step, w, g[12], g[13], bias, mult, g + 6,
                      y + at * n, n);
    }
}

/* mcu_qconv8_T_I of one group with weights in panels. Stack: 384 bytes */
KERNEL void mcu_qconv2_T_I(const int32_t *g, const T *const *row,
                           const int8_t *w, const int32_t *bias,
                           const int32_t *mult, int16_t *s, I *y)
{
    const int k = g[2] * g[3] * g[7], step = (k + 15) / 16 * 16;
    const int ow = g[1], n = g[9];
    int i, m;

    for (i = 0; i < ow; i += m) {
        int at;

        m = ow - i < g[11] ? ow - i : g[11];
        at = g[12] ? ow - i - m : i;
        mcu_qwindows_T(g, row, at, m, k, step, k % 2, s);
        mcu_qpanels_I(m, k, n, s, step, w, k, n, bias, mult, g + 14,
                      y + at * n, n);
    }
}
