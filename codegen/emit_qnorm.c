/* emit_qnorm.c - QSoftmax and QLayerNorm: a kernel per row, tables and
 * multipliers made here (ir/ops/qnorm.h).
 */
#include "../ir/ops/qnorm.h"
#include "loops.h"

EmitFn emit_qsoftmax, emit_qlayernorm;

void emit_qsoftmax(Emit *e, const Node *n)
{
    const char *table;
    QSoftmax s;

    if (!qsoftmax_read(n, e->arena, &s) || !s.rows || !s.n)
        return;
    table = emit_const(e, "exp", DT_U32, 256, s.exp);
    emit_call(e, "qsoftmax_T_I", s.x.dt, s.y.dt,
              "y0, x0, %lldu, %lldu, %s, %s, %lld, %lld, %lld",
              (long long)s.rows, (long long)s.n, table,
              emit_literal_int(e, DT_U64, (int64_t)s.numerator),
              (long long)s.y.zero, (long long)s.y.least,
              (long long)s.y.most);
}

void emit_qlayernorm(Emit *e, const Node *n)
{
    const char *index, *gamma, *beta;
    long long len, zero;
    bool wide;
    QNorm q;

    if (!qnorm_read(n, e->arena, &q) || !q.rows || !q.n)
        return;
    len = (long long)q.n;
    wide = dtype_bits(q.x.dt) > 8;
    zero = q.rms ? (long long)q.x.zero : 0;     /* cancels otherwise */
    index = index_type(q.rows * q.n);
    gamma = emit_const(e, "gamma", DT_I32, q.n, q.gamma);
    beta = emit_const(e, "beta", DT_I32, q.nbeta, q.beta);
    e_line(e, "int64_t sum, squares;");
    e_open(e, n->backward ? "for (%s i = %lld; i >= 0; i--)"
                          : "for (%s i = 0; i <= %lld; i++)",
           index, (long long)q.rows - 1);
    emit_call(e, wide ? "qsums_wide_T" : "qsums_T", q.x.dt, DT_NONE,
              "x0 + i * %lld, %lldu, %lld, &sum, &squares", len, len, zero);
    emit_call(e, "qnorm_row_T_I", q.x.dt, q.y.dt,
              "y0 + i * %lld, x0 + i * %lld, %lldu, %lld, %s, squares, %d, "
              "%s, %d, %s, %s, %d, %d, %lld, %lld", len, len, len, zero,
              q.rms ? "0" : "sum", q.spread,
              emit_literal_int(e, DT_I64, q.epsilon),
              q.point + q.spread / 2 - 30, gamma, beta, q.nbeta > 1, q.fine,
              (long long)q.y.least, (long long)q.y.most);
    e_close(e);
}
