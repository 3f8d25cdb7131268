/* qattention.c - attention over quantized codes, in integers: scores of one
 * query (qdot.c) or of four against all keys, weights 2^-t in Q15, the mean
 * of the values. The arithmetic is stated in ir/ops/qattention.h. Queries
 * are widened to int16 with their zero point taken off; that of the keys
 * cancels in the softmax, that of the values is taken off the sums.
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

/* s[2 r], s[2 r + 1] = row r of four of a times w and v, k elements. gcc makes
 * multiply-add instructions of the plain loop. */
KERNEL inline void mcu_qattn_eight_T(int32_t *s, const int16_t *a, int a_step,
                                     const T *w, const T *v, int k)
{
    const int16_t *b = a + a_step, *d = b + a_step, *e = d + a_step;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int32_t t0 = 0, t1 = 0, t2 = 0, t3 = 0;
    int i = 0;

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
    v8si h0 = { 0 }, h1 = h0, h2 = h0, h3 = h0;
    v8si g0 = h0, g1 = h0, g2 = h0, g3 = h0;

    for (; i + 16 <= k; i += 16) {
        v16hi p, q, x;
        v16 u;

        memcpy(&u, w + i, 16);
        p = MCU_WIDEN(u);
        memcpy(&u, v + i, 16);
        q = MCU_WIDEN(u);
#define MCU_ROW(a, h, g)                                                    \
    memcpy(&x, a + i, 32);                                                  \
    MCU_MADD(h, x, p);                                                      \
    MCU_MADD(g, x, q)
        MCU_ROW(a, h0, g0);
        MCU_ROW(b, h1, g1);
        MCU_ROW(d, h2, g2);
        MCU_ROW(e, h3, g3);
#undef MCU_ROW
    }
#undef MCU_WIDEN
#undef MCU_MADD
    h0 = __builtin_ia32_phaddd256(__builtin_ia32_phaddd256(h0, g0),
                                  __builtin_ia32_phaddd256(h1, g1));
    h2 = __builtin_ia32_phaddd256(__builtin_ia32_phaddd256(h2, g2),
                                  __builtin_ia32_phaddd256(h3, g3));
    h0 = (v8si)__builtin_ia32_permti256((v4di)h0, (v4di)h2, 0x20) +
         (v8si)__builtin_ia32_permti256((v4di)h0, (v4di)h2, 0x31);
    memcpy(s, &h0, 32);
#elif defined(__SSE2__) && defined(__GNUC__)
    typedef int32_t v4si __attribute__((vector_size(16)));
    typedef int16_t v8hi __attribute__((vector_size(16)));
    v4si h0 = { 0 }, h1 = h0, h2 = h0, h3 = h0;
    v4si g0 = h0, g1 = h0, g2 = h0, g3 = h0;
    long long u;
#if defined(__clang__)
    typedef T v8 __attribute__((vector_size(8)));
#define MCU_WIDEN(x) __builtin_convertvector((v8)x, v8hi)
#else
    typedef long long v2di __attribute__((vector_size(16)));
    typedef char v16 __attribute__((vector_size(16)));
    const v16 none = { 0 };
#define MCU_WIDEN(x)                                                        \
    ((T)-1 < 0 ? (v8hi)__builtin_ia32_punpcklbw128(none, (v16)(v2di){ x, 0 }) \
                 >> 8 : (v8hi)__builtin_ia32_punpcklbw128(                  \
                            (v16)(v2di){ x, 0 }, none))
#endif
#define MCU_ROW(a, h, g)                                                    \
    memcpy(&x, a + i, 16);                                                  \
    h += (v4si)__builtin_ia32_pmaddwd128(x, p);                             \
    g += (v4si)__builtin_ia32_pmaddwd128(x, q)
#define MCU_SUM(h) ((h[0] + h[1]) + (h[2] + h[3]))

    for (; i + 8 <= k; i += 8) {
        v8hi p, q, x;

        memcpy(&u, w + i, 8);
        p = MCU_WIDEN(u);
        memcpy(&u, v + i, 8);
        q = MCU_WIDEN(u);
        MCU_ROW(a, h0, g0);
        MCU_ROW(b, h1, g1);
        MCU_ROW(d, h2, g2);
        MCU_ROW(e, h3, g3);
    }
    s[0] = MCU_SUM(h0);
    s[1] = MCU_SUM(g0);
    s[2] = MCU_SUM(h1);
    s[3] = MCU_SUM(g1);
    s[4] = MCU_SUM(h2);
    s[5] = MCU_SUM(g2);
    s[6] = MCU_SUM(h3);
    s[7] = MCU_SUM(g3);
#undef MCU_WIDEN
#undef MCU_ROW
#undef MCU_SUM
#endif
#if defined(__SSE2__) && defined(__GNUC__)
    if (i == k)
        return;
    s0 = s[0];
    t0 = s[1];
    s1 = s[2];
    t1 = s[3];
    s2 = s[4];
    t2 = s[5];
    s3 = s[6];
    t3 = s[7];
#endif
    for (; i < k; i++) {
        s0 += a[i] * w[i];
        s1 += b[i] * w[i];
        s2 += d[i] * w[i];
        s3 += e[i] * w[i];
        t0 += a[i] * v[i];
        t1 += b[i] * v[i];
        t2 += d[i] * v[i];
        t3 += e[i] * v[i];
    }
    s[0] = s0;
    s[1] = t0;
    s[2] = s1;
    s[3] = t1;
    s[4] = s2;
    s[5] = t2;
    s[6] = s3;
    s[7] = t3;
}

/* c[i * c_step + j] = row i of a . row j of w, k elements each; rows of a by
 * four, of w by two */
KERNEL void mcu_qattn_scores_T(int32_t *c, int c_step, int rows,
                               const int16_t *a, int a_step, const T *w,
                               int n, int k, int step)
{
    int32_t s[8];
    int i, j, r;

    for (j = 0; j < n; j += 2, w += 2 * step)
        for (r = 0; r < rows; r += 4) {
            int32_t *to = c + r * c_step + j;

            mcu_qattn_eight_T(s, a + r * a_step, a_step, w,
                              j + 1 < n ? w + step : w, k);
            for (i = 0; i < 4; i++, to += c_step) {
                to[0] = s[2 * i];
                if (j + 1 < n)
                    to[1] = s[2 * i + 1];
            }
        }
}

/* The same for weights a and turned values w: in a model of equal layers each
 * of the two functions is called with constant arguments. */
KERNEL void mcu_qattn_means_T(int32_t *c, int c_step, int rows,
                              const int16_t *a, int a_step, const T *w,
                              int n, int k, int step)
{
    int32_t s[8];
    int i, j, r;

    for (j = 0; j < n; j += 2, w += 2 * step)
        for (r = 0; r < rows; r += 4) {
            int32_t *to = c + r * c_step + j;

            mcu_qattn_eight_T(s, a + r * a_step, a_step, w,
                              j + 1 < n ? w + step : w, k);
            for (i = 0; i < 4; i++, to += c_step) {
                to[0] = s[2 * i];
                if (j + 1 < n)
                    to[1] = s[2 * i + 1];
            }
        }
}

/* acc += sum over keys of p[j] * value j, d elements each */
KERNEL void mcu_qattn_mix_T(int32_t *restrict acc, const int16_t *restrict p,
                            const T *restrict v, int keys, int d, int step)
{
    const int whole = keys - keys % 4;
    int i, j, first = 0;

#if defined(__GNUC__)
    __asm__("" : "+r"(v));      /* gcc warns of constants shorter than a row */
#endif
#if defined(__AVX2__) && defined(__GNUC__)
    typedef int32_t v8si __attribute__((vector_size(32)));
    typedef int16_t v16hi __attribute__((vector_size(32)));
    typedef long long v4di __attribute__((vector_size(32)));
#if defined(__clang__)
    typedef T v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) __builtin_convertvector(x, v16hi)
#define MCU_LOW(x, y)                                                       \
    __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, \
                            10, 26, 11, 27)
#define MCU_HIGH(x, y)                                                      \
    __builtin_shufflevector(x, y, 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13,   \
                            29, 14, 30, 15, 31)
#else
    typedef char v16 __attribute__((vector_size(16)));
#define MCU_WIDEN(x) ((T)-1 < 0 ? (v16hi)__builtin_ia32_pmovsxbw256(x)      \
                                : (v16hi)__builtin_ia32_pmovzxbw256(x))
#define MCU_LOW(x, y) (v16hi)__builtin_ia32_punpcklwd256(x, y)
#define MCU_HIGH(x, y) (v16hi)__builtin_ia32_punpckhwd256(x, y)
#endif

    for (; first + 16 <= d; first += 16) {      /* two keys at a time */
        v8si lo = { 0 }, hi = lo, none = lo;
        v4di s, t;

        for (j = 0; j < keys; j += 2) {
            const T *v0 = v + j * step + first;
            const T *v1 = j + 1 < keys ? v0 + step : v0;
            const uint32_t next = j + 1 < keys ? (uint16_t)p[j + 1] : 0;
            const v16hi two =
                (v16hi)(none + (int32_t)((uint16_t)p[j] | next << 16));
            v16 x, y;
            v16hi a, b;

            memcpy(&x, v0, 16);
            memcpy(&y, v1, 16);
            a = MCU_WIDEN(x);
            b = MCU_WIDEN(y);
            lo += (v8si)__builtin_ia32_pmaddwd256(MCU_LOW(a, b), two);
            hi += (v8si)__builtin_ia32_pmaddwd256(MCU_HIGH(a, b), two);
        }
        s = (v4di)__builtin_ia32_permti256((v4di)lo, (v4di)hi, 0x20);
        t = (v4di)__builtin_ia32_permti256((v4di)lo, (v4di)hi, 0x31);
        memcpy(&lo, acc + first, 32);
        memcpy(&hi, acc + first + 8, 32);
        lo += (v8si)s;
        hi += (v8si)t;
        memcpy(acc + first, &lo, 32);
        memcpy(acc + first + 8, &hi, 32);
    }
    if (first == d)
        return;
#undef MCU_WIDEN
#undef MCU_LOW
#undef MCU_HIGH
#elif defined(__SSE2__) && defined(__GNUC__)
    typedef int32_t v4si __attribute__((vector_size(16)));
    typedef int16_t v8hi __attribute__((vector_size(16)));
    typedef long long v2di __attribute__((vector_size(16)));
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

    for (; first + 8 <= d; first += 8) {        /* two keys at a time */
        const T *v0 = v + first;
        v4si lo, hi;

        memcpy(&lo, acc + first, 16);
        memcpy(&hi, acc + first + 4, 16);
        for (j = 0; j < keys; j += 2, v0 += 2 * step) {
            const v16 none = { 0 };
            long long x, y = 0;
            int32_t two = p[j];
            v16 both;
            v8hi a, b;

            memcpy(&x, v0, 8);
            if (j + 1 < keys) {
                memcpy(&y, v0 + step, 8);
                memcpy(&two, p + j, 4);
            }
            both = MCU_LOW((v16)(v2di){ x }, (v16)(v2di){ y });
            a = (v8hi)MCU_LOW(none, both) >> 8;
            b = (v8hi)MCU_HIGH(none, both) >> 8;
            if ((T)-1 > 0) {
                a = (v8hi)MCU_LOW(both, none);
                b = (v8hi)MCU_HIGH(both, none);
            }
            lo += (v4si)__builtin_ia32_pmaddwd128(a, (v8hi)((v4si)none + two));
            hi += (v4si)__builtin_ia32_pmaddwd128(b, (v8hi)((v4si)none + two));
        }
        memcpy(acc + first, &lo, 16);
        memcpy(acc + first + 4, &hi, 16);
    }
    if (first == d)
        return;
#undef MCU_LOW
#undef MCU_HIGH
#endif
    for (j = 0; j < whole; j += 4, v += 4 * step) {
        const int32_t p0 = p[j], p1 = p[j + 1], p2 = p[j + 2];
        const int32_t p3 = p[j + 3];
        const T *v1 = v + step, *v2 = v1 + step, *v3 = v2 + step;

        for (i = first; i < d; i++)
            acc[i] += (p0 * v[i] + p1 * v1[i]) + (p2 * v2[i] + p3 * v3[i]);
    }
    for (; j < keys; j++, v += step) {
        const int32_t p0 = p[j];

        for (i = first; i < d; i++)
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
