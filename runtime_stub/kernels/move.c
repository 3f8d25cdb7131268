/* move.c - movement whose indices are only known at run time, or that is
 * no single strided copy. Dims are outermost first, 1 to 8 of them, none of
 * them 0. No index leaves the operand, whatever the run-time values are.
 */
#include "kernel.h"

/* where a slice of an axis of d elements begins */
KERNEL int64_t mcu_slice_first(int64_t d, int64_t start)
{
    if (start < 0)
        start = start < -d ? 0 : start + d;
    return start < d ? start : d - 1;
}

/* the element after the one at i, stopping at the axis' end */
KERNEL int64_t mcu_slice_next(int64_t d, int64_t i, int64_t step)
{
    if (step < 0)
        return step < -i ? 0 : i + step;
    return step > d - 1 - i ? d - 1 : i + step;
}

/* n elements of a row of d, the first at i */
KERNEL void mcu_slice_row_T(T *y, const T *x, int64_t d, int64_t n, int64_t i,
                            int64_t step)
{
    int64_t k;

    if (step == 1 && n <= d - i) {
        memcpy(y, x + i, (size_t)n * sizeof *y);
        return;
    }
    for (k = 0; k < n; k++) {
        y[k] = x[i];
        i = mcu_slice_next(d, i, step);
    }
}

/* y[i, ...] = x[first[0] + i step[0], ...]. Stack: 192 bytes */
KERNEL void mcu_slice_T(T *y, const T *x, int rank, const int64_t *xdim,
                        const int64_t *ydim, const int64_t *first,
                        const int64_t *step)
{
    const int last = rank - 1;
    int64_t at[8], left[8], row;
    int a;

    for (a = 0; a < rank; a++) {
        at[a] = first[a];
        left[a] = ydim[a];
    }
    do {
        row = 0;
        for (a = 0; a < last; a++)
            row = (row + at[a]) * xdim[a + 1];
        mcu_slice_row_T(y, x + row, xdim[last], ydim[last], first[last],
                        step[last]);
        y += ydim[last];
        for (a = last - 1; a >= 0; a--) {
            at[a] = mcu_slice_next(xdim[a], at[a], step[a]);
            if (--left[a] > 0)
                break;
            at[a] = first[a];
            left[a] = ydim[a];
        }
    } while (a >= 0);
}

/* pads beyond 2^40 are no tensor's: keeps sums from overflowing */
KERNEL int64_t mcu_pad_limit(int64_t pad)
{
    const int64_t most = INT64_C(1) << 40;

    return pad < -most ? -most : pad > most ? most : pad;
}

/* Which element of an axis of d is read i behind its first; -1: none.
 * mode: 0 constant, 1 reflect, 2 edge, 3 wrap. */
KERNEL int64_t mcu_pad_source(int mode, int64_t i, int64_t d)
{
    if (i >= 0 && i < d)
        return i;
    if (mode == 0 || d == 0)
        return -1;
    if (mode == 2 || d == 1)
        return i < 0 ? 0 : d - 1;
    if (mode == 3) {
        i %= d;
        return i < 0 ? i + d : i;
    }
    i %= 2 * (d - 1);
    if (i < 0)
        i = -i;
    return i < d ? i : 2 * (d - 1) - i;
}

/* elements [from, to) of a row of y from a row of x with d */
KERNEL void mcu_pad_edge_T(T *y, const T *x, T value, int mode, int64_t from,
                           int64_t to, int64_t begin, int64_t d)
{
    int64_t i, k;

    for (i = from; i < to; i++) {
        k = mcu_pad_source(mode, i - begin, d);
        y[i] = k < 0 ? value : x[k];
    }
}

/* one row of n: edge, the operand's own elements, edge */
KERNEL void mcu_pad_row_T(T *y, const T *x, T value, int mode, int64_t n,
                          int64_t begin, int64_t d)
{
    const int64_t a = begin < 0 ? 0 : begin < n ? begin : n;
    const int64_t end = begin + d, b = end < a ? a : end < n ? end : n;

    mcu_pad_edge_T(y, x, value, mode, 0, a, begin, d);
    if (b > a)
        memcpy(y + a, x + (a - begin), (size_t)(b - a) * sizeof *y);
    mcu_pad_edge_T(y, x, value, mode, b, n, begin, d);
}

/* first element of the row of x that row i of y reads, or -1 */
KERNEL int64_t mcu_pad_from(int mode, int rank, const int64_t *xdim,
                            const int64_t *begin, const int64_t *i)
{
    int64_t row = 0, k;
    int a;

    for (a = 0; a < rank - 1; a++) {
        k = mcu_pad_source(mode, i[a] - begin[a], xdim[a]);
        if (k < 0)
            return -1;
        row = (row + k) * xdim[a + 1];
    }
    return row;
}

/* Stack: 160 bytes */
KERNEL void mcu_pad_T(T *y, const T *x, T value, int mode, int rank,
                      const int64_t *xdim, const int64_t *ydim,
                      const int64_t *begin)
{
    const int64_t n = ydim[rank - 1];
    int64_t i[8] = { 0 }, row, k;
    int a;

    do {
        row = mcu_pad_from(mode, rank, xdim, begin, i);
        if (row < 0)
            for (k = 0; k < n; k++)
                y[k] = value;
        else
            mcu_pad_row_T(y, x + row, value, mode, n, begin[rank - 1],
                          xdim[rank - 1]);
        y += n;
        for (a = rank - 2; a >= 0; a--) {
            if (++i[a] < ydim[a])
                break;
            i[a] = 0;
        }
    } while (a >= 0);
}

/* column where row r of an upper triangle with diagonal k begins */
KERNEL int64_t mcu_trilu_first(int64_t k, int64_t r, int64_t cols)
{
    if (k >= cols)
        return cols;
    r += k < -r ? -r : k;
    return r > cols ? cols : r;
}

/* count rows of cols elements of size bytes; each matrix has rows of them */
KERNEL void mcu_trilu(uint8_t *y, const uint8_t *x, int64_t count,
                      int64_t rows, int64_t cols, int64_t size, int64_t k,
                      int upper)
{
    int64_t i, from, to;

    for (i = 0; i < count; i++) {
        from = upper ? mcu_trilu_first(k, i % rows, cols) : 0;
        to = upper || k == INT64_MAX ? cols
                                     : mcu_trilu_first(k + 1, i % rows, cols);
        memset(y, 0, (size_t)(from * size));
        memcpy(y + from * size, x + from * size, (size_t)((to - from) * size));
        memset(y + to * size, 0, (size_t)((cols - to) * size));
        y += cols * size;
        x += cols * size;
    }
}

/* the first lens[b] of `time` steps backwards; strides and run in bytes */
KERNEL void mcu_reverse_sequence(uint8_t *y, const uint8_t *x,
                                 const int64_t *lens, int64_t batch,
                                 int64_t time, int64_t bstride,
                                 int64_t tstride, int64_t run)
{
    int64_t b, i, len, from;

    for (b = 0; b < batch; b++) {
        len = lens[b] < time ? lens[b] : time;
        for (i = 0; i < time; i++) {
            from = i < len ? len - 1 - i : i;
            memcpy(y + b * bstride + i * tstride,
                   x + b * bstride + from * tstride, (size_t)run);
        }
    }
}
