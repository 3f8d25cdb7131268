/* select.c - NonMaxSuppression and Unique, with room for a given number of
 * results: what is beyond it is dropped, what is missing is -1 or 0. */
#include "kernel.h"

/* Corners low y, low x, high y, high x of a box that is given by any two
 * opposite ones or, when center, by x, y, width, height. */
KERNEL void mcu_box_T(T *c, const T *b, int center)
{
    T h = (T)0.5;

    if (center) {
        c[0] = b[1] - b[3] * h;
        c[1] = b[0] - b[2] * h;
        c[2] = b[1] + b[3] * h;
        c[3] = b[0] + b[2] * h;
        return;
    }
    c[0] = b[2] < b[0] ? b[2] : b[0];
    c[1] = b[3] < b[1] ? b[3] : b[1];
    c[2] = b[0] < b[2] ? b[2] : b[0];
    c[3] = b[1] < b[3] ? b[3] : b[1];
}

/* Is intersection over union of two boxes above iou? */
KERNEL int mcu_overlap_T(const T *a, const T *b, T iou)
{
    T h = (b[2] < a[2] ? b[2] : a[2]) - (a[0] < b[0] ? b[0] : a[0]);
    T w = (b[3] < a[3] ? b[3] : a[3]) - (a[1] < b[1] ? b[1] : a[1]);
    T area_a = (a[2] - a[0]) * (a[3] - a[1]);
    T area_b = (b[2] - b[0]) * (b[3] - b[1]);

    if (!(h > 0 && w > 0 && area_a > 0 && area_b > 0))
        return 0;
    return h * w / (area_a + area_b - h * w) > iou;
}

/* The best box of a class that still counts, -1 when there is none. */
KERNEL int64_t mcu_best_box_T(const T *score, size_t n, const uint8_t *out)
{
    int64_t best = -1;
    size_t i;

    for (i = 0; i < n; i++)
        if (!out[i] && (best < 0 || mcu_below_T(score[best], score[i])))
            best = (int64_t)i;
    return best;
}

/* y[rows][3]: batch, class and box, best first, until none is left or there
 * are `most` of a class. box[batch][n][4], score[batch][classes][n]; out[n]
 * marks boxes that no longer count. */
KERNEL void mcu_nms_T(int64_t *y, size_t rows, const T *box, const T *score,
                      size_t batch, size_t classes, size_t n, int64_t most,
                      T iou, int has_least, T least, int center, uint8_t *out)
{
    size_t b, c, i, row = 0;
    int64_t left, at;
    T one[4], other[4];

    for (b = 0; b < batch; b++, box += 4 * n)
        for (c = 0; c < classes; c++, score += n) {
            for (i = 0; i < n; i++)
                out[i] = has_least && !(score[i] > least);
            for (left = most; left > 0 && row < rows; left--, row++) {
                at = mcu_best_box_T(score, n, out);
                if (at < 0)
                    break;
                y[3 * row] = (int64_t)b;
                y[3 * row + 1] = (int64_t)c;
                y[3 * row + 2] = at;
                out[at] = 1;
                mcu_box_T(one, box + 4 * at, center);
                for (i = 0; i < n; i++) {
                    if (out[i])
                        continue;
                    mcu_box_T(other, box + 4 * i, center);
                    out[i] = (uint8_t)mcu_overlap_T(one, other, iou);
                }
            }
        }
    for (i = 3 * row; i < 3 * rows; i++)
        y[i] = -1;
}

/* Items a and b of x[outer][n][inner]: -1, 0 or 1 */
KERNEL int mcu_item_order_T(const T *x, size_t outer, size_t n, size_t inner,
                            size_t a, size_t b)
{
    size_t o, i;

    for (o = 0; o < outer; o++)
        for (i = 0; i < inner; i++) {
            T va = x[(o * n + a) * inner + i], vb = x[(o * n + b) * inner + i];
            if (mcu_below_T(va, vb))
                return -1;
            if (mcu_below_T(vb, va))
                return 1;
        }
    return 0;
}

/* Where an item is among the first ones of each kind; count when it is not
 * there yet and they are not sorted, else where it belongs. */
KERNEL size_t mcu_find_item_T(const T *x, size_t outer, size_t n,
                              size_t inner, const int64_t *rep, size_t count,
                              size_t item, int sorted, int *found)
{
    size_t lo = 0, hi = count, mid;
    int order;

    *found = 0;
    while (lo < hi) {
        mid = sorted ? lo + (hi - lo) / 2 : lo;
        order = mcu_item_order_T(x, outer, n, inner, (size_t)rep[mid], item);
        if (order == 0) {
            *found = 1;
            return mid;
        }
        if (order < 0 || !sorted)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* rep[n]: the first item of each kind, sorted or as they come; how many */
KERNEL size_t mcu_kinds_T(const T *x, size_t outer, size_t n, size_t inner,
                          int sorted, int64_t *rep)
{
    size_t count = 0, i, k, at;
    int found;

    for (i = 0; i < n; i++) {
        at = mcu_find_item_T(x, outer, n, inner, rep, count, i, sorted,
                             &found);
        if (found)
            continue;
        for (k = count++; k > at; k--)
            rep[k] = rep[k - 1];
        rep[at] = (int64_t)i;
    }
    return count;
}

/* The different items of x[outer][n][inner] along n to y[outer][rows][inner],
 * where each first is, what kind each item is, how many each has. */
KERNEL void mcu_unique_T(T *y, int64_t *first, int64_t *kind, int64_t *many,
                         size_t rows, const T *x, size_t outer, size_t n,
                         size_t inner, int sorted, int64_t *rep)
{
    size_t count = mcu_kinds_T(x, outer, n, inner, sorted, rep), i, k, o, at;
    int found;

    for (i = 0; i < rows; i++) {
        for (o = 0; y && o < outer; o++)
            for (k = 0; k < inner; k++)
                y[(o * rows + i) * inner + k] = (T)(i < count
                    ? x[(o * n + (size_t)rep[i]) * inner + k] : 0);
        if (first)
            first[i] = i < count ? rep[i] : 0;
        if (many)
            many[i] = 0;
    }
    for (i = 0; (kind || many) && i < n; i++) {
        at = mcu_find_item_T(x, outer, n, inner, rep, count, i, sorted,
                             &found);
        if (kind)
            kind[i] = (int64_t)at;
        if (many && at < rows)
            many[at]++;
    }
}
