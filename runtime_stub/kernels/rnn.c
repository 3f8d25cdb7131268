/* rnn.c - the products of RNN, GRU and LSTM cells: a vector times a matrix,
 * added to the gates. Activations are loops that codegen writes.
 */
#include "kernel.h"

/* g[j] += sum over i of x[i] w[i * n + j]: weights known at compile time are
 * packed that way, so that the inner loop walks everything contiguously */
KERNEL void mcu_gates_T(T *restrict g, const T *restrict w,
                        const T *restrict x, size_t rows, size_t n)
{
    const size_t whole = rows - rows % 4;
    size_t i, j;

    for (i = 0; i < whole; i += 4, w += 4 * n) {
        const T a = x[i], b = x[i + 1], c = x[i + 2], d = x[i + 3];
        const T *p = w, *q = p + n, *r = q + n, *t = r + n;

        for (j = 0; j < n; j++)
            g[j] += (a * p[j] + b * q[j]) + (c * r[j] + d * t[j]);
    }
    for (i = rows % 4; i > 0; i--, w += n) {
        const T a = x[rows - i];

        for (j = 0; j < n; j++)
            g[j] += a * w[j];
    }
}

/* g[j] += sum over i of x[i] w[j * rows + i]: weights as the model has them */
KERNEL void mcu_gates_rows_T(T *g, const T *w, const T *x, size_t rows,
                             size_t n)
{
    size_t j;

    for (j = 0; j < n; j++, w += rows)
        g[j] += mcu_dot_T(w, x, rows);
}
