/* qdot.c - integer matrix products and convolutions over codes.
 *
 * Rows of x (or windows of an image) are widened once to int16 with the zero
 * point taken off, four at a time, and multiplied with every row of the
 * weights: 4 x 2 sums at once, along contiguous terms, a form that gcc turns
 * into multiply-add instructions. Sums become codes by the rule of
 * requantization (qput.c). All of a block is read before its results are
 * written, so x and y may overlap as the plan allows.
 *
 * T: type of x, I: type of y. q: shift, zero point of y, lo, hi, 1 where
 * every channel has its own multiplier.
 */
#ifndef T                       /* for this file as it stands */
#define T int8_t
#define I int8_t
#endif
#include "kernel.h"

/* s = x - zero */
KERNEL void mcu_qwiden_T(int n, const T *restrict x, int32_t zero,
                         int16_t *restrict s)
{
    int i = 0;

#if defined(__SSE2__) && defined(__GNUC__)
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
    const v8hi none = { 0 }, z = none + (int16_t)zero;

    __asm__("" : "+r"(x));      /* gcc warns of arrays shorter than a vector */
    for (; sizeof(T) == 1 && i + 16 <= n; i += 16) {
        v8hi lo, hi;
        v16 v;

        memcpy(&v, x + i, 16);
        if ((T)-1 < 0) {
            lo = (MCU_LOW(v, v) >> 8) - z;
            hi = (MCU_HIGH(v, v) >> 8) - z;
        } else {
            lo = MCU_LOW(v, (v16)none) - z;
            hi = MCU_HIGH(v, (v16)none) - z;
        }
        memcpy(s + i, &lo, 16);
        memcpy(s + i + 8, &hi, 16);
    }
#undef MCU_LOW
#undef MCU_HIGH
#endif
    for (; i < n; i++)
        s[i] = (int16_t)(x[i] - zero);
}

/* m rows of k elements of x, zero taken off, in rows of `step` >= k elements
 * of s that end in zeros */
KERNEL void mcu_qrowsin_T(int m, int k, int step, const T *x, int32_t zero,
                          int16_t *s)
{
    if (step == k) {
        mcu_qwiden_T(m * k, x, zero, s);
        return;
    }
    for (; m > 0; m--, x += k, s += step) {
        mcu_qwiden_T(k, x, zero, s);
        memset(s + k, 0, (size_t)(step - k) * sizeof *s);
    }
}

/* c[i * 32 + j] = sum over k of a[i * step + k] w[j * row + k] for four i
 * and n <= 32 columns j. (With n odd the last column is computed twice.)
 * With AVX2 the terms come in sixteens, up to `wide`: with wide >= k, w is
 * read and a is 0 from k to wide; else the rest is added one by one. */
KERNEL void mcu_qdot4_T(int k, int wide, int n, const int16_t *a, int step,
                        const T *w, int row, int32_t *c)
{
    const int16_t *b = a + step, *d = b + step, *e = d + step;
    int i, j;

#if defined(__AVX2__) && defined(__GNUC__)
    typedef int32_t v8si __attribute__((vector_size(32)));
    typedef int16_t v16hi __attribute__((vector_size(32)));
    typedef long long v4di __attribute__((vector_size(32)));
#if defined(__clang__)
    typedef T v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) __builtin_convertvector(x, v16hi)
#else
    typedef char v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) ((T)-1 < 0 ? (v16hi)__builtin_ia32_pmovsxbw256(x)      \
                                : (v16hi)__builtin_ia32_pmovzxbw256(x))
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

    for (j = 0; j < n; j += 2, w += 2 * row) {
        const T *v = j + 1 < n ? w + row : w;
        v8si s0 = { 0 }, s1 = s0, s2 = s0, s3 = s0;
        v8si t0 = s0, t1 = s0, t2 = s0, t3 = s0;
        int32_t *to = c + j;

        for (i = 0; i < wide; i += 16) {
            v16 wi, vi;
            v16hi p, q, x;

            memcpy(&wi, w + i, 16);
            memcpy(&vi, v + i, 16);
            p = MCU_WIDEN(wi);
            q = MCU_WIDEN(vi);
            memcpy(&x, a + i, 32);
            MCU_MADD(s0, x, p);
            MCU_MADD(t0, x, q);
            memcpy(&x, b + i, 32);
            MCU_MADD(s1, x, p);
            MCU_MADD(t1, x, q);
            memcpy(&x, d + i, 32);
            MCU_MADD(s2, x, p);
            MCU_MADD(t2, x, q);
            memcpy(&x, e + i, 32);
            MCU_MADD(s3, x, p);
            MCU_MADD(t3, x, q);
        }
        {
            const v8si h0 = __builtin_ia32_phaddd256(s0, t0);
            const v8si h1 = __builtin_ia32_phaddd256(s1, t1);
            const v8si h2 = __builtin_ia32_phaddd256(s2, t2);
            const v8si h3 = __builtin_ia32_phaddd256(s3, t3);
            const v4di u = (v4di)__builtin_ia32_phaddd256(h0, h1);
            const v4di z = (v4di)__builtin_ia32_phaddd256(h2, h3);
            const v4di f =
                (v4di)((v8si)__builtin_ia32_permti256(u, z, 0x20) +
                       (v8si)__builtin_ia32_permti256(u, z, 0x31));
            const long long f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3];

            memcpy(to, &f0, 8);
            memcpy(to + 32, &f1, 8);
            memcpy(to + 64, &f2, 8);
            memcpy(to + 96, &f3, 8);
        }
        for (i = wide; i < k; i++) {
            to[0] += a[i] * w[i];
            to[1] += a[i] * v[i];
            to[32] += b[i] * w[i];
            to[33] += b[i] * v[i];
            to[64] += d[i] * w[i];
            to[65] += d[i] * v[i];
            to[96] += e[i] * w[i];
            to[97] += e[i] * v[i];
        }
    }
#undef MCU_WIDEN
#undef MCU_MADD
#else
    (void)wide;
    for (j = 0; j < n; j += 2, w += 2 * row) {
        const T *v = j + 1 < n ? w + row : w;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        int32_t t0 = 0, t1 = 0, t2 = 0, t3 = 0;

        for (i = 0; i < k; i++) {
            s0 += a[i] * w[i];
            s1 += b[i] * w[i];
            s2 += d[i] * w[i];
            s3 += e[i] * w[i];
            t0 += a[i] * v[i];
            t1 += b[i] * v[i];
            t2 += d[i] * v[i];
            t3 += e[i] * v[i];
        }
        c[j] = s0;
        c[j + 32] = s1;
        c[j + 64] = s2;
        c[j + 96] = s3;
        c[j + 1] = t0;
        c[j + 33] = t1;
        c[j + 65] = t2;
        c[j + 97] = t3;
    }
#endif
}

/* the same for one row of a and any n, four columns at a time; c has room
 * for whole fours */
KERNEL void mcu_qdot1_T(int k, int wide, int n, const int16_t *a, const T *w,
                        int row, int32_t *c)
{
    int i, j;

#if defined(__AVX2__) && defined(__GNUC__)
    typedef int32_t v8si __attribute__((vector_size(32)));
    typedef int16_t v16hi __attribute__((vector_size(32)));
#if defined(__clang__)
    typedef T v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) __builtin_convertvector(x, v16hi)
#else
    typedef char v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) ((T)-1 < 0 ? (v16hi)__builtin_ia32_pmovsxbw256(x)      \
                                : (v16hi)__builtin_ia32_pmovzxbw256(x))
#endif

    for (j = 0; j < n; j += 4, w += 4 * row) {
        const int left = n - j;
        const T *v1 = left > 1 ? w + row : w;
        const T *v2 = left > 2 ? v1 + row : w;
        const T *v3 = left > 3 ? v2 + row : w;
        v8si s0 = { 0 }, s1 = s0, s2 = s0, s3 = s0, u;
        int32_t *to = c + j;

        for (i = 0; i < wide; i += 16) {
            v16 x0, x1, x2, x3;
            v16hi x;

            memcpy(&x, a + i, 32);
            memcpy(&x0, w + i, 16);
            memcpy(&x1, v1 + i, 16);
            memcpy(&x2, v2 + i, 16);
            memcpy(&x3, v3 + i, 16);
            s0 += (v8si)__builtin_ia32_pmaddwd256(x, MCU_WIDEN(x0));
            s1 += (v8si)__builtin_ia32_pmaddwd256(x, MCU_WIDEN(x1));
            s2 += (v8si)__builtin_ia32_pmaddwd256(x, MCU_WIDEN(x2));
            s3 += (v8si)__builtin_ia32_pmaddwd256(x, MCU_WIDEN(x3));
        }
        u = __builtin_ia32_phaddd256(__builtin_ia32_phaddd256(s0, s1),
                                     __builtin_ia32_phaddd256(s2, s3));
        for (i = 0; i < 4; i++)
            to[i] = u[i] + u[i + 4];
        for (i = wide; i < k; i++) {
            to[0] += a[i] * w[i];
            to[1] += a[i] * v1[i];
            to[2] += a[i] * v2[i];
            to[3] += a[i] * v3[i];
        }
    }
#undef MCU_WIDEN
#elif defined(__SSE2__) && defined(__GNUC__)
    typedef int32_t v4si __attribute__((vector_size(16)));
    typedef int16_t v8hi __attribute__((vector_size(16)));
#if defined(__clang__)
    typedef T v8 __attribute__((vector_size(8)));
#define MCU_WIDEN(u) __builtin_convertvector((v8)u, v8hi)
#define MCU_HALVES(x, y)                                                    \
    (__builtin_shufflevector(x, y, 0, 4, 1, 5) +                            \
     __builtin_shufflevector(x, y, 2, 6, 3, 7))
#else
    typedef char v16 __attribute__((vector_size(16)));
    typedef long long v2di __attribute__((vector_size(16)));
    const v16 zeros = { 0 };
#define MCU_WIDEN(u)                                                        \
    ((T)-1 < 0 ? (v8hi)__builtin_ia32_punpcklbw128(zeros, (v16)(v2di){ u }) \
                     >> 8                                                   \
               : (v8hi)__builtin_ia32_punpcklbw128((v16)(v2di){ u }, zeros))
#define MCU_HALVES(x, y)                                                    \
    ((v4si)__builtin_ia32_punpckldq128(x, y) +                              \
     (v4si)__builtin_ia32_punpckhdq128(x, y))
#endif
#define MCU_TERMS(s, w)                                                     \
    memcpy(&u, w + i, 8);                                                   \
    s += (v4si)__builtin_ia32_pmaddwd128(x, MCU_WIDEN(u))
    const int whole = k < wide ? wide : k / 8 * 8;
    long long u;

    for (j = 0; j < n; j += 4, w += 4 * row) {
        const int left = n - j;
        const T *v1 = left > 1 ? w + row : w;
        const T *v2 = left > 2 ? v1 + row : w;
        const T *v3 = left > 3 ? v2 + row : w;
        v4si s0 = { 0 }, s1 = s0, s2 = s0, s3 = s0;
        int32_t *to = c + j;

        for (i = 0; i < whole; i += 8) {
            v8hi x;

            memcpy(&x, a + i, 16);
            MCU_TERMS(s0, w);
            MCU_TERMS(s1, v1);
            MCU_TERMS(s2, v2);
            MCU_TERMS(s3, v3);
        }
        s0 = MCU_HALVES(s0, s2);        /* s0 s2 s0 s2 */
        s1 = MCU_HALVES(s1, s3);
        s0 = MCU_HALVES(s0, s1);
        memcpy(to, &s0, 16);
        for (; i < k; i++) {
            to[0] += a[i] * w[i];
            to[1] += a[i] * v1[i];
            to[2] += a[i] * v2[i];
            to[3] += a[i] * v3[i];
        }
    }
#undef MCU_WIDEN
#undef MCU_HALVES
#undef MCU_TERMS
#else
    const int whole = n / 4 * 4;

    (void)wide;
    for (j = 0; j < whole; j += 4, w += 4 * row) {
        const T *v1 = w + row, *v2 = v1 + row, *v3 = v2 + row;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

        for (i = 0; i < k; i++) {
#if defined(__GNUC__)           /* else gcc makes slow vectors for Helium */
            __asm__("" : "+r"(s0));
#endif
            s0 += a[i] * w[i];
            s1 += a[i] * v1[i];
            s2 += a[i] * v2[i];
            s3 += a[i] * v3[i];
        }
        c[j] = s0;
        c[j + 1] = s1;
        c[j + 2] = s2;
        c[j + 3] = s3;
    }
    for (; j < n; j++, w += row) {
        int32_t sum = 0;

        for (i = 0; i < k; i++)
            sum += a[i] * w[i];
        c[j] = sum;
    }
#endif
}

/* m (4 or 1) rows of a times n rows of w, `row` apart, requantized into rows
 * of y; a is 0 from k up to a multiple of 16, and w may be read so far */
KERNEL void mcu_qcols_I(int m, int k, int n, const int16_t *a, int step,
                        const int8_t *w, int row, const int32_t *bias,
                        const int32_t *mult, const int32_t *q, I *y,
                        int y_step)
{
    const int full = (k + 15) / 16 * 16;
    int32_t c[4 * 32];
    int j;

    for (j = 0; j < n; j += 32) {
        const int wide = n - j < 32 ? n - j : 32;

        if (m == 4)
            mcu_qdot4_s8(k, full, wide, a, step, w + j * row, row, c);
        else
            mcu_qdot1_s8(k, full, wide, a, w + j * row, row, c);
        mcu_qputs_I(q, m, wide, c, 32, bias ? bias + j : NULL,
                    mult + (q[4] ? j : 0), y + j, y_step);
    }
}

/* y = x w^T. g: rows, k, n, zero point of x, rows of a block (4 or 1),
 * 1 to walk backwards, then q; 12: what is from a row of w to the next. s:
 * block rows, each k rounded up to a multiple of 16. Stack: 640 bytes */
KERNEL void mcu_qmatmul_T_I(const int32_t *g, const T *x, const int8_t *w,
                            const int32_t *bias, const int32_t *mult,
                            int16_t *s, I *y)
{
    const int rows = g[0], k = g[1], n = g[2], step = (k + 15) / 16 * 16;
    int i, m;

    for (i = 0; i < rows; i += m) {
        int at;

        m = rows - i < g[4] ? 1 : g[4];
        at = g[5] ? rows - i - m : i;
        mcu_qrowsin_T(m, k, step, x + at * k, g[3], s);
        mcu_qcols_I(m, k, n, s, step, w, g[12], bias, mult, g + 6,
                    y + at * n, n);
    }
}

/* sum of k elements of s */
KERNEL int32_t mcu_qsum(int k, const int16_t *s)
{
    int32_t sum = 0;
    int i;

    for (i = 0; i < k; i++)
        sum += s[i];
    return sum;
}

/* m (4 or 1) rows s times all rows of w, an operand [n][k] of codes with
 * zero point g[11]; g as mcu_qmatmul_T_I. T: w. Stack: 640 bytes */
KERNEL void mcu_qoperand_T_I(const int32_t *g, int m, const int16_t *s,
                             const T *w, const int32_t *bias,
                             const int32_t *mult, I *y)
{
    const int k = g[1], n = g[2];
    int32_t c[4 * 32];
    int i, j;

    for (j = 0; j < n; j += 32) {
        const int wide = n - j < 32 ? n - j : 32;

        if (m == 4)
            mcu_qdot4_T(k, k / 16 * 16, wide, s, k, w + j * k, k, c);
        else
            mcu_qdot1_T(k, k / 16 * 16, wide, s, w + j * k, k, c);
        for (i = 0; i < m; i++) {
            const int32_t z = g[11] ? g[11] * mcu_qsum(k, s + i * k) : 0;

            mcu_qput_I(g + 6, wide, c + 32 * i, bias ? bias + j : NULL, -z,
                       mult, y + i * n + j);
        }
    }
}

/* Two rows v and u of 8-bit codes as 16 columns of a panel (qpair.c), `cols`
 * of them, less `off`; u NULL: zeros */
KERNEL inline void mcu_qpaired_T(int cols, const T *v, const T *u, int off,
                                 int8_t *p)
{
    int t;

#if defined(__SSE2__) && defined(__GNUC__)
#if defined(__clang__)
    typedef int8_t v16 __attribute__((vector_size(16)));
#define MCU_LOW(a, b)                                                       \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, \
                            6, 22, 7, 23)
#define MCU_HIGH(a, b)                                                      \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, \
                            29, 14, 30, 15, 31)
#else
    typedef char v16 __attribute__((vector_size(16)));
#define MCU_LOW(a, b) __builtin_ia32_punpcklbw128(a, b)
#define MCU_HIGH(a, b) __builtin_ia32_punpckhbw128(a, b)
#endif
    if (cols == 16) {
        v16 lo, hi, x, z = { 0 };

        memcpy(&lo, v, 16);
        memcpy(&hi, u ? u : v, 16);
        if (off) {              /* 128 less is the sign turned around */
            lo ^= ~z << 7;
            hi ^= ~z << 7;
        }
        hi = u ? hi : z;
        x = MCU_LOW(lo, hi);
        memcpy(p, &x, 16);
        x = MCU_HIGH(lo, hi);
        memcpy(p + 16, &x, 16);
        return;
    }
#undef MCU_LOW
#undef MCU_HIGH
#endif
    memset(p, 0, 32);
    for (t = 0; t < cols; t++) {
        p[2 * t] = (int8_t)(v[t] - off);
        if (u)
            p[2 * t + 1] = (int8_t)(u[t] - off);
    }
}

/* the same for an operand [k][n], sixteen columns at a time as panels of up
 * to 32 terms. Stack: 1024 bytes */
KERNEL void mcu_qcolumns_T_I(const int32_t *g, int m, const int16_t *s,
                             const T *w, const int32_t *bias,
                             const int32_t *mult, I *y)
{
    const int k = g[1], n = g[2], off = (T)-1 < 0 ? 0 : 128;
    const int32_t zero = g[11] - off;
    int32_t c[4 * 16];
    int8_t p[16 * 32];
    int h, i, j;

    for (j = 0; j < n; j += 16) {
        const int cols = n - j < 16 ? n - j : 16;

        memset(c, 0, sizeof c);
        for (h = 0; h < k; h += 32) {
            const int terms = k - h < 32 ? k - h : 32;
            const T *v = w + h * n + j;

            for (i = 0; i < terms; i += 2, v += 2 * n)
                mcu_qpaired_T(cols, v, i + 1 < terms ? v + n : NULL, off,
                              p + 16 * i);
            mcu_qpair(m, (terms + 1) / 2, 16, 16, s + h, k, p, c);
        }
        for (i = 0; i < m; i++)
            mcu_qput_I(g + 6, cols, c + 16 * i, bias ? bias + j : NULL,
                       zero ? -zero * mcu_qsum(k, s + i * k) : 0, mult,
                       y + i * n + j);
    }
}
