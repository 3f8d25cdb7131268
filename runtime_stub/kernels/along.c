/* along.c - ArgMax, ArgMin, Hardmax, CumSum, TopK on x[outer][n][inner].
 *
 * NaN stands above every number; of equal elements the lower index is first.
 */
#include "kernel.h"

/* Does a stand below b? */
KERNEL inline int mcu_below_T(T a, T b)
{
    return a < b;
}

KERNEL inline int mcu_below_f32(float a, float b)
{
    return a < b || (b != b && a == a);
}

KERNEL inline int mcu_below_f64(double a, double b)
{
    return a < b || (b != b && a == a);
}

/* y[outer][inner]: where the greatest (least: the smallest) element is; the
 * last such one when `last`. Sixteen columns at a time. Stack: 256 bytes. */
KERNEL void mcu_argbest_T(int64_t *restrict y, const T *x, size_t outer,
                          size_t n, size_t inner, int least, int last)
{
    T best[16];
    int32_t at[16];
    size_t o, i, j, k, w;

    for (o = 0; o < outer; o++, x += n * inner)
        for (k = 0; k < inner; k += w) {
            w = inner - k < 16 ? inner - k : 16;
            for (j = 0; j < w; j++) {
                best[j] = x[k + j];
                at[j] = 0;
            }
            for (i = 1; i < n; i++)
                for (j = 0; j < w; j++) {
                    T v = x[i * inner + k + j];
                    int up = mcu_below_T(best[j], v);
                    int down = mcu_below_T(v, best[j]);
                    if (least ? (last ? !up : down) : (last ? !down : up)) {
                        best[j] = v;
                        at[j] = (int32_t)i;
                    }
                }
            for (j = 0; j < w; j++)
                *y++ = at[j];
        }
}

/* y = 1 at the first greatest element, 0 elsewhere. */
KERNEL void mcu_hardmax_T(T *restrict y, const T *x, size_t outer, size_t n,
                          size_t inner)
{
    size_t o, i, k, at;

    for (o = 0; o < outer; o++, x += n * inner, y += n * inner)
        for (k = 0; k < inner; k++) {
            at = 0;
            for (i = 0; i < n; i++) {
                y[i * inner + k] = 0;
                if (mcu_below_T(x[at * inner + k], x[i * inner + k]))
                    at = i;
            }
            y[at * inner + k] = 1;
        }
}

/* Running sums, in order; y may be x. */
KERNEL void mcu_cumsum_T(T *y, const T *x, size_t outer, size_t n,
                         size_t inner, int exclusive, int reverse)
{
    size_t o, i, k;

    for (o = 0; o < outer; o++)
        for (k = 0; k < inner; k++) {
            T sum = 0;
            for (i = 0; i < n; i++) {
                size_t at = (o * n + (reverse ? n - 1 - i : i)) * inner + k;
                T next = mcu_acc_add_T(sum, x[at]);
                y[at] = exclusive ? sum : next;
                sum = next;
            }
        }
}

/* Does element a of a column rank before element b? */
KERNEL int mcu_ahead_T(const T *x, size_t inner, int64_t a, int64_t b,
                       int least)
{
    T va = x[(size_t)a * inner], vb = x[(size_t)b * inner];

    if (least ? mcu_below_T(va, vb) : mcu_below_T(vb, va))
        return 1;
    if (least ? mcu_below_T(vb, va) : mcu_below_T(va, vb))
        return 0;
    return a < b;
}

/* A heap of n element numbers, the last-ranked on top; entry i may be out of
 * place with those below it. */
KERNEL void mcu_topk_sift_T(int64_t *heap, size_t step, size_t n, size_t i,
                            const T *x, size_t inner, int least)
{
    int64_t item = heap[i * step];

    while (2 * i + 1 < n) {
        size_t c = 2 * i + 1;
        if (c + 1 < n && mcu_ahead_T(x, inner, heap[c * step],
                                     heap[(c + 1) * step], least))
            c++;
        if (!mcu_ahead_T(x, inner, item, heap[c * step], least))
            break;
        heap[i * step] = heap[c * step];
        i = c;
    }
    heap[i * step] = item;
}

/* at[outer][k][inner]: the k first-ranked elements of x[outer][n][inner], in
 * order; their values to y unless it is NULL. A heap in the output. */
KERNEL void mcu_topk_T(T *y, int64_t *at, const T *x, size_t outer, size_t n,
                       size_t inner, size_t k, int least)
{
    size_t o, c, i;

    for (o = 0; o < outer; o++, at += k * inner, x += n * inner)
        for (c = 0; c < inner && k > 0; c++) {
            int64_t *h = at + c;
            for (i = 0; i < k; i++)
                h[i * inner] = (int64_t)i;
            for (i = k / 2; i-- > 0;)
                mcu_topk_sift_T(h, inner, k, i, x + c, inner, least);
            for (i = k; i < n; i++)
                if (mcu_ahead_T(x + c, inner, (int64_t)i, h[0], least)) {
                    h[0] = (int64_t)i;
                    mcu_topk_sift_T(h, inner, k, 0, x + c, inner, least);
                }
            for (i = k; i-- > 1;) {
                int64_t last = h[0];
                h[0] = h[i * inner];
                h[i * inner] = last;
                mcu_topk_sift_T(h, inner, i, 0, x + c, inner, least);
            }
            for (i = 0; y && i < k; i++)
                y[(o * k + i) * inner + c] =
                    x[(size_t)h[i * inner] * inner + c];
        }
}
