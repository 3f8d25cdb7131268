/* qnorm.c - Softmax and LayerNormalization of rows of quantized codes, in
 * integers. The arithmetic is stated in ir/ops/qnorm.h. y may be x: a row is
 * read before it is written, element by element.
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

/* The greatest code of a row. */
KERNEL inline int32_t mcu_top_code_T(const T *x, size_t n)
{
    int32_t top = T_LOWEST;
    size_t i;

    for (i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

/* Sum of e = table[top - x] over a row, four loads at a time: one by one,
 * compilers make slow gathers of them. */
KERNEL inline uint64_t mcu_qsoftmax_sum_T(const T *x, size_t n, int32_t top,
                                          const uint32_t *table)
{
    const size_t whole = n - n % 4;
    uint64_t sum = 0;
    size_t i;

    for (i = 0; i < whole; i += 4) {    /* 28 bits at most */
        const uint32_t a = table[top - x[i]] + table[top - x[i + 1]];
        const uint32_t b = table[top - x[i + 2]] + table[top - x[i + 3]];

        sum += a + b;
    }
    for (; i < n; i++)
        sum += table[top - x[i]];
    return sum;
}

/* code of e: e * f / 2^32 + zero, rounded, in lo..hi */
KERNEL inline int32_t mcu_qsoftmax_code(uint32_t e, uint32_t f, int32_t zero,
                                        int32_t lo, int32_t hi)
{
    const uint64_t p = (uint64_t)e * f + 0x80000000u;

    return mcu_code((int32_t)(p >> 32) + zero, lo, hi);
}

/* Rows of n codes: y = e * (numerator / sum of e) / 2^32 + zero, rounded, in
 * lo..hi. */
KERNEL void mcu_qsoftmax_T_I(I *y, const T *x, size_t rows, size_t n,
                             const uint32_t *table, uint64_t numerator,
                             int32_t zero, int32_t lo, int32_t hi)
{
    const size_t whole = n - n % 4;
    size_t r, i;

    for (r = 0; r < rows; r++, x += n, y += n) {
        const int32_t top = mcu_top_code_T(x, n);
        const uint32_t f = (uint32_t)(numerator /
                                      mcu_qsoftmax_sum_T(x, n, top, table));

        for (i = 0; i < whole; i += 4) {
            const uint32_t a = table[top - x[i]], b = table[top - x[i + 1]];
            const uint32_t c = table[top - x[i + 2]];
            const uint32_t d = table[top - x[i + 3]];

            y[i] = (I)mcu_qsoftmax_code(a, f, zero, lo, hi);
            y[i + 1] = (I)mcu_qsoftmax_code(b, f, zero, lo, hi);
            y[i + 2] = (I)mcu_qsoftmax_code(c, f, zero, lo, hi);
            y[i + 3] = (I)mcu_qsoftmax_code(d, f, zero, lo, hi);
        }
        for (; i < n; i++)
            y[i] = (I)mcu_qsoftmax_code(table[top - x[i]], f, zero, lo, hi);
    }
}

/* 2^62 / sqrt(d), d in [2^62, 2^64): a parabola, then three steps of
 * Newton's iteration r (3 - d r r) / 2; within 1e-8 */
KERNEL uint32_t mcu_qrsqrt(uint64_t d)
{
    const uint64_t v = d >> 32;
    uint64_t r = 881864327u - (v * 439832014u >> 32);
    int i;

    r = (716928240u - (v * r >> 32)) << 2;
    for (i = 0; i < 3; i++)
        r = r * (((uint64_t)3 << 29) - (v * (r * r >> 31) >> 32)) >> 30;
    return r < 0x7fffffffu ? (uint32_t)r : 0x7fffffffu;
}

/* Sum and sum of squares of x - zero over a row. */
KERNEL inline void mcu_qsums_T(const T *x, size_t n, int32_t zero,
                               int64_t *sum, int64_t *squares)
{
    int64_t s1 = 0, s2 = 0;
    size_t i, j, w;

    for (i = 0; i < n; i += w) {        /* parts whose sums fit 32 bits */
        int32_t a = 0, b = 0;

        w = n - i < 16384 ? n - i : 16384;
        for (j = 0; j < w; j++) {
            const int16_t q = (int16_t)(x[i + j] - zero);

            a += q;
            b += q * q;
        }
        s1 += a;
        s2 += b;
    }
    *sum = s1;
    *squares = s2;
}

/* The same for 16-bit codes. */
KERNEL inline void mcu_qsums_wide_T(const T *x, size_t n, int32_t zero,
                                    int64_t *sum, int64_t *squares)
{
    int64_t s1 = 0, s2 = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        const int32_t q = x[i] - zero;

        s1 += q;
        s2 += (int64_t)q * q;
    }
    *sum = s1;
    *squares = s2;
}

/* The first codes of mcu_qnorm_row_T_I in vectors; returns how many. */
KERNEL inline size_t mcu_qnorm_wide_T_I(I *y, const T *x, size_t n,
                                        uint32_t times, uint32_t minus,
                                        int down, int32_t r, const int32_t *g,
                                        const int32_t *b, size_t b_step,
                                        int fine, int32_t lo, int32_t hi)
{
#if defined(__SSE2__) && defined(__GNUC__)
#if defined(__AVX2__)
    enum { LANES = 8 };
#define MCU_CODES(x)            /* which gcc makes one instruction of */    \
    { x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] }
#define MCU_TIMES(a, b) (vd)__builtin_ia32_pmuldq256((vs)(a), (vs)(b))
#define MCU_SIGNS(a, b) 0
#else                           /* products are unsigned: 2^32 too many */
    enum { LANES = 4 };
#define MCU_CODES(x) { x[0], x[1], x[2], x[3] }
#define MCU_TIMES(a, b) (vd)__builtin_ia32_pmuludq128((vs)(a), (vs)(b))
#define MCU_SIGNS(a, b) (((a) >> 31 & (b)) + ((b) >> 31 & (a)))
#endif
#define MCU_HIGH(a, b)          /* of the products of all lanes */          \
    ((vs)(MCU_TIMES(a, b) >> 32 |                                           \
          MCU_TIMES((vd)(a) >> 32, (vd)(b) >> 32) >> 32 << 32) -            \
     MCU_SIGNS(a, b))
    typedef int32_t vs __attribute__((vector_size(4 * LANES)));
    typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
    typedef uint64_t vd __attribute__((vector_size(4 * LANES)));
    typedef I vy __attribute__((vector_size(LANES * sizeof(I))));
    const size_t whole = n - n % LANES;
    const vs none = { 0 }, root = none + r;
    size_t i;

    __asm__("" : "+r"(x), "+r"(g), "+r"(b));    /* else gcc warns of short */
    for (i = 0; i < whole; i += LANES) {        /* arrays, never read */
        vs a = MCU_CODES((x + i)), gamma, beta = none + b[0], in;
        vy out;

        memcpy(&gamma, g + i, sizeof gamma);
        if (b_step)
            memcpy(&beta, b + i, sizeof beta);
        a = (vs)((vu)a * times - minus) >> down;
        a = MCU_HIGH(a, root);
        a = (MCU_HIGH(a, gamma) + beta) >> fine;
        in = a > lo;
        a = (a & in) | (lo & ~in);
        in = a < hi;
        a = (a & in) | (hi & ~in);
        out = __builtin_convertvector(a, vy);
        memcpy(y + i, &out, sizeof out);
    }
#undef MCU_CODES
#undef MCU_TIMES
#undef MCU_SIGNS
#undef MCU_HIGH
    return whole;
#else
    (void)y, (void)x, (void)n, (void)times, (void)minus, (void)down, (void)r;
    (void)g, (void)b, (void)b_step, (void)fine, (void)lo, (void)hi;
    return 0;
#endif
}

/* One row. d = n * squares - sum * sum is n^2 times the variance; g, b: see
 * QNorm; b_step 0: one b for all. shift = point + spread / 2 - 30. */
KERNEL void mcu_qnorm_row_T_I(I *y, const T *x, size_t n, int32_t zero,
                              int64_t sum, int64_t squares, int spread,
                              int64_t epsilon, int shift, const int32_t *g,
                              const int32_t *b, size_t b_step, int fine,
                              int32_t lo, int32_t hi)
{
    uint64_t d = (uint64_t)((int64_t)n * squares - sum * sum);
    uint32_t times = (uint32_t)n, minus = (uint32_t)sum;
    int k, down = 0;
    int32_t r;
    size_t i;

    if (d == 0)
        times = minus = 0;      /* all codes are equal */
    d = (d << spread) + (uint64_t)epsilon;
    d += d == 0;
    for (k = 32; k > 1; k /= 2)
        if (d < (uint64_t)1 << (64 - k)) {
            d <<= k;
            shift += k / 2;
        }
    r = (int32_t)mcu_qrsqrt(d);
    if (shift < 0) {
        down = -shift;
        minus -= (uint32_t)1 << (down - 1);
    } else if (times) {
        times <<= shift;
        minus <<= shift;
    }
    minus += times * (uint32_t)zero;
    i = mcu_qnorm_wide_T_I(y, x, n, times, minus, down, r, g, b, b_step, fine,
                           lo, hi);
    for (; i < n; i++) {
        const int32_t q = x[i];
        const int32_t c = (int32_t)(times * (uint32_t)q - minus) >> down;
        const int32_t z = (int32_t)((int64_t)c * r >> 32);
        const int32_t h = (int32_t)((int64_t)z * g[i] >> 32);

        y[i] = (I)mcu_code((h + b[i * b_step]) >> fine, lo, hi);
    }
}
