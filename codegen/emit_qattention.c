/* emit_qattention.c - QAttention: one query at a time with a row of scores in
 * the scratch, or up to eight at a time with the values of a head turned so
 * that both products are dot products of contiguous codes. The second way is
 * twice as fast where compilers vectorize and takes a copy of a head's
 * values; it is chosen where the scratch is at most a third of what queries,
 * keys and values take. Both give the same codes.
 */
#include <string.h>

#include "../ir/ops/qattention.h"
#include "attend.h"
#include "loops.h"

EmitFn emit_qattention;
ScratchFn scratch_qattention;

typedef struct QAttend {
    Attend t;
    QAttn q;
    int rows;                   /* queries at a time: 8, 4 or 1 */
    const char *index, *addend, *table;         /* C names, or NULL */
} QAttend;

/* keys in a row of weights of a block: whole vectors, zeros at the end */
static int64_t padded(int64_t keys)
{
    return (keys + 31) / 32 * 32;
}

static int64_t scratch_bytes(const Attn *a, int rows)
{
    int64_t keys = padded(a->total);
    int64_t n = rows * (4 * (a->total + a->dv) + 2 * (keys + a->dk));

    return rows > 1 ? n + a->dv * keys : n;
}

static int choose_rows(const Attn *a)
{
    int64_t all = a->batch * (a->heads * a->q_len * a->dk +
                              a->kv_heads * a->kv_len * (a->dk + a->dv));

    for (int rows = 8; rows > 2; rows /= 2)
        if (a->q_len >= rows && a->total >= 8 &&
            scratch_bytes(a, rows) <= all / 3)
            return rows;
    return 1;
}

int64_t scratch_qattention(const Node *n)
{
    Attn a;

    if (!attn_read(n, &a) || !node_out(n, ATTN_Y))
        return 0;
    return scratch_bytes(&a, choose_rows(&a));
}

/* Both products */

static void dot_part(const Attend *t, const char *keys, const char *from,
                     const char *n, int64_t step, const void *user)
{
    const QAttend *q = user;

    if (q->rows == 1)
        emit_call(t->e, "qdot1_T", q->q.k.dt, DT_NONE,
                  "%lld, %lld, %s, query, %s, %lld, score + %s",
                  (long long)t->a.dk, (long long)(t->a.dk / 16 * 16), n, keys,
                  (long long)step, from);
    else
        emit_call(t->e, "qattn_scores_T", q->q.k.dt, DT_NONE,
                  "score + %s, %lld, %d, query, %lld, %s, %s, %lld, %lld",
                  from, (long long)t->a.total, q->rows, (long long)t->a.dk,
                  keys, n, (long long)t->a.dk, (long long)step);
}

static void mix_part(const Attend *t, const char *values, const char *from,
                     const char *n, int64_t step, const void *user)
{
    const QAttend *q = user;

    emit_call(t->e, "qattn_mix_T", q->q.v.dt, DT_NONE,
              "acc, p + %s, %s, %s, %lld, %lld", from, values, n,
              (long long)t->a.dv, (long long)step);
}

static void turn_part(const Attend *t, const char *values, const char *from,
                      const char *n, int64_t step, const void *user)
{
    const QAttend *q = user;

    emit_call(t->e, "qattn_turn_T", q->q.v.dt, DT_NONE,
              "turned + %s, %s, %s, %lld, %lld, %lld", from, values, n,
              (long long)t->a.dv, (long long)step,
              (long long)padded(t->a.total));
}

/* One query */

static void emit_mask(const QAttend *q, const char *score, const char *from,
                      const char *n)
{
    const Attend *t = &q->t;
    const char *mask = q->index ? q->index : q->addend ? q->addend : "x3";
    const char *at;

    if (!t->a.has_mask)
        return;
    at = attend_place(t, mask, t->a.mask, "h", "i");
    if (!strcmp(mask, "x3") && t->n->in[ATTN_MASK]->type.dt == DT_I8)
        at = arena_printf(t->e->arena, "(const uint8_t *)(%s)", at);
    if (q->addend && !q->index)
        emit_call(t->e, "qattn_mask", DT_NONE, DT_NONE, "%s, %s + %s, %s",
                  score, at, from, n);
    else
        emit_call(t->e, "qattn_mask_codes", DT_NONE, DT_NONE,
                  "%s, %s + %s, %s, %s", score, at, from, q->table, n);
}

static void emit_weigh(const QAttend *q, const char *sum, const char *p,
                       const char *score, const char *n)
{
    const QAttn *a = &q->q;

    e_line(q->t.e, "%s = %s(%s, %s, %s, %lluu, %d, %lluu, %lldu);", sum,
           emit_kernel(q->t.e, "qattn_weigh", DT_NONE, DT_NONE), p, score, n,
           (unsigned long long)a->most, a->before,
           (unsigned long long)a->octaves, (long long)qattn_limit(a));
}

static void emit_put(const QAttend *q, const char *acc, const char *sum)
{
    const QAttn *a = &q->q;
    const Attend *t = &q->t;

    emit_call(t->e, "qattn_put_I", DT_NONE, a->y.dt,
              "%s, %s, %lld, %s, %lld, %s, %d, %lld, %lld, %lld",
              attend_place(t, "y0", a->a.y, "h", "i"), acc,
              (long long)a->a.dv, sum, (long long)a->v.zero,
              emit_literal_int(t->e, DT_U64, (int64_t)a->numerator),
              a->shift, (long long)a->y.zero, (long long)a->y.least,
              (long long)a->y.most);
}

static const char *span(const QAttend *q, const char *from, const char *to)
{
    return q->t.ranged ? arena_printf(q->t.e->arena, "%s - %s", to, from)
                       : to;
}

static void emit_query(const QAttend *q, const AttendSource *k,
                       const AttendSource *v)
{
    const Attend *t = &q->t;
    Emit *e = t->e;
    const char *total = arena_printf(e->arena, "%lld",
                                     (long long)t->a.total);
    const char *from = t->ranged ? "from" : "0";
    const char *to = t->ranged ? "to" : total;
    const char *score = t->ranged ? "score + from" : "score";

    e_line(e, "int32_t sum;");
    emit_call(e, "qattn_query_T", q->q.q.dt, DT_NONE,
              "query, %s, %lld, %lld", attend_place(t, "x0", t->a.q, "h",
                                                    "i"),
              (long long)t->a.dk, (long long)q->q.q.zero);
    if (t->ranged)
        attend_range(t);
    attend_parts(t, k, from, to, dot_part, q);
    emit_mask(q, score, from, span(q, from, to));
    emit_weigh(q, "sum", t->ranged ? "p + from" : "p", score,
               span(q, from, to));
    e_line(e, "memset(acc, 0, %lldu * sizeof *acc);", (long long)t->a.dv);
    attend_parts(t, v, from, to, mix_part, q);
    emit_put(q, "acc", "sum");
}

/* Several queries: i0 + r, r < rows; past the end the last one again. */

static void open_rows(const QAttend *q, const char *type, bool named)
{
    const Attn *a = &q->t.a;
    Emit *e = q->t.e;

    e_open(e, "for (int r = 0; r < %d; r++)", q->rows);
    if (!named)
        return;
    if (a->q_len % q->rows)
        e_line(e, "const %s i = i0 + r < %lld ? i0 + r : %lld;", type,
               (long long)a->q_len, (long long)a->q_len - 1);
    else
        e_line(e, "const %s i = i0 + r;", type);
}

/* do a query's keys depend on its number i? */
static bool range_moves(const Attn *a)
{
    return a->causal || a->left >= 0 || a->right >= 0;
}

/* lo, hi: the keys that any of them sees. Both ends grow with i. */
static void emit_bounds(const QAttend *q, const char *type)
{
    Emit *e = q->t.e;

    e_line(e, "int32_t lo = %lld, hi = 0;", (long long)q->t.a.total);
    open_rows(q, type, range_moves(&q->t.a));
    attend_range(&q->t);
    e_line(e, "lo = from < lo ? from : lo;");
    e_line(e, "hi = to > hi ? to : hi;");
    e_close(e);
    e_line(e, "hi = hi < lo ? lo : hi;");
}

static void emit_weigh_rows(const QAttend *q, const char *type)
{
    const Attend *t = &q->t;
    Emit *e = t->e;
    const char *total = arena_printf(e->arena, "%lld",
                                     (long long)t->a.total);

    open_rows(q, type, range_moves(&t->a) || t->a.mask.t);
    e_line(e, "int32_t *const one = score + r * %lld;",
           (long long)t->a.total);
    e_line(e, "int16_t *const w = p + r * %lld;",
           (long long)padded(t->a.total));
    if (!t->ranged) {
        emit_mask(q, "one", "0", total);
        emit_weigh(q, "sum[r]", "w", "one", total);
        e_close(e);
        return;
    }
    attend_range(t);
    emit_mask(q, "one + from", "from", "to - from");
    e_line(e, "memset(w + lo, 0, (size_t)(hi - lo) * sizeof *w);");
    emit_weigh(q, "sum[r]", "w + from", "one + from", "to - from");
    e_close(e);
}

static void emit_block(const QAttend *q, const AttendSource *k,
                      const char *type)
{
    const Attend *t = &q->t;
    Emit *e = t->e;
    const char *total = arena_printf(e->arena, "%lld",
                                     (long long)t->a.total);
    const char *lo = t->ranged ? "lo" : "0", *hi = t->ranged ? "hi" : total;
    long long keys = (long long)padded(t->a.total);

    e_line(e, "int32_t sum[%d];", q->rows);
    open_rows(q, type, true);
    emit_call(e, "qattn_query_T", q->q.q.dt, DT_NONE,
              "query + r * %lld, %s, %lld, %lld", (long long)t->a.dk,
              attend_place(t, "x0", t->a.q, "h", "i"), (long long)t->a.dk,
              (long long)q->q.q.zero);
    e_close(e);
    if (t->ranged)
        emit_bounds(q, type);
    attend_parts(t, k, lo, hi, dot_part, q);
    emit_weigh_rows(q, type);
    emit_call(e, "qattn_means_T", q->q.v.dt, DT_NONE,
              "acc, %lld, %d, p + %s, %lld, turned + %s, %lld, %s, %lld",
              (long long)t->a.dv, q->rows, lo, keys, lo, (long long)t->a.dv,
              t->ranged ? "hi - lo" : arena_printf(e->arena, "%lld", keys),
              keys);
    open_rows(q, type, true);
    emit_put(q, arena_printf(e->arena, "acc + r * %lld",
                             (long long)t->a.dv), "sum[r]");
    e_close(e);
}

/* The whole step */

/* The scratch, and zeros behind the last key. */
static void emit_names(const QAttend *q)
{
    const Attn *a = &q->t.a;
    long long keys = (long long)padded(a->total), rows = q->rows;
    const char *v = dtype_ctype(q->q.v.dt);
    Emit *e = q->t.e;

    e_line(e, "int32_t *const score = (int32_t *)(void *)s;");
    e_line(e, "int32_t *const acc = score + %lld;",
           rows * (long long)a->total);
    e_line(e, "int16_t *const p = (int16_t *)(void *)(acc + %lld);",
           rows * (long long)a->dv);
    e_line(e, "int16_t *const query = p + %lld;", rows * keys);
    if (rows == 1)
        return;
    e_line(e, "%s *const turned = (%s *)(void *)(query + %lld);", v, v,
           rows * (long long)a->dk);
    if (keys > a->total) {
        e_line(e, "memset(p, 0, %lldu * sizeof *p);", rows * keys);
        e_line(e, "memset(turned, 0, %lldu);", (long long)a->dv * keys);
    }
}

static void name_masks(QAttend *q)
{
    const Value *m = node_in(q->t.n, ATTN_MASK);

    qattn_pack(q->t.n, q->t.e->arena, &q->q);
    if (q->q.table)
        q->table = emit_const(q->t.e, "mask_addends", DT_I32, 256,
                              q->q.table);
    if (q->q.index)
        q->index = emit_const(q->t.e, "mask", DT_U8, type_elems(&m->type),
                              q->q.index);
    else if (q->q.addend)
        q->addend = emit_const(q->t.e, "mask", DT_I32,
                               type_elems(&m->type), q->q.addend);
}

static void emit_rows(const QAttend *q, const AttendSource *k,
                      const AttendSource *v)
{
    const Attn *a = &q->t.a;
    const char *total = arena_printf(q->t.e->arena, "%lld",
                                     (long long)a->total);
    Emit *e = q->t.e;

    emit_names(q);
    e_open(e, "for (int32_t b = 0; b < %lld; b++)", (long long)a->batch);
    e_open(e, "for (int32_t h = 0; h < %lld; h++)", (long long)a->heads);
    if (q->rows == 1) {
        e_open(e, "for (int32_t i = 0; i < %lld; i++)", (long long)a->q_len);
        emit_query(q, k, v);
    } else {
        if (a->group > 1)
            e_open(e, "if (h %% %lld == 0)", (long long)a->group);
        attend_parts(&q->t, v, "0", total, turn_part, q);
        if (a->group > 1)
            e_close(e);
        e_open(e, "for (int32_t i0 = 0; i0 < %lld; i0 += %d)",
               (long long)a->q_len, q->rows);
        emit_block(q, k, "int32_t");
    }
    for (int i = 0; i < 3; i++)
        e_close(e);
}

/* no keys at all: every value is the code of 0 */
static void emit_nothing(const QAttend *q)
{
    const Attn *a = &q->t.a;
    const QParam *y = &q->q.y;
    int64_t zero = y->zero < y->least ? y->least
                   : y->zero > y->most ? y->most : y->zero;
    long long n = (long long)(a->batch * a->heads * a->q_len * a->dv);

    e_open(q->t.e, "for (%s i = 0; i < %lld; i++)", index_type(n), n);
    e_line(q->t.e, "y0[i] = %lld;", (long long)zero);
    e_close(q->t.e);
}

void emit_qattention(Emit *e, const Node *n)
{
    QAttend q = { .t = { .e = e, .n = n } };
    AttendSource k, v;
    Attn *a = &q.t.a;

    if (!qattn_read(n, e->arena, &q.q))
        return;
    *a = q.q.a;
    q.t.dt = q.q.k.dt;
    q.t.type = dtype_ctype(q.t.dt);
    attend_present(&q.t, ATTN_PRESENT_K, ATTN_PAST_K, ATTN_K, a->k,
                   a->present_k, a->dk);
    q.t.dt = q.q.v.dt;
    q.t.type = dtype_ctype(q.t.dt);
    attend_present(&q.t, ATTN_PRESENT_V, ATTN_PAST_V, ATTN_V, a->v,
                   a->present_v, a->dv);
    if (!node_out(n, ATTN_Y) || type_elems(&n->out[ATTN_Y]->type) == 0)
        return;
    if (a->total == 0) {
        emit_nothing(&q);
        return;
    }
    q.t.ranged = attend_ranged(a);
    q.rows = choose_rows(a);
    name_masks(&q);
    k = attend_source(&q.t, ATTN_PRESENT_K, ATTN_PAST_K, ATTN_K, a->k,
                      a->past_k, a->present_k);
    v = attend_source(&q.t, ATTN_PRESENT_V, ATTN_PAST_V, ATTN_V, a->v,
                      a->past_v, a->present_v);
    emit_rows(&q, &k, &v);
}
