/* emit_attention.c - Attention row by row: the scores of one query live in
 * the scratch, so the heads x queries x keys matrix never exists (unless it
 * is wanted as a result). RotaryEmbedding beside it.
 */
#include <math.h>
#include <string.h>

#include "../ir/ops/rotary.h"
#include "attend.h"
#include "loops.h"

EmitFn emit_attention, emit_rotary;
ScratchFn scratch_attention;

bool attend_ranged(const Attn *a)
{
    return a->causal || a->has_lens || a->left >= 0 || a->right >= 0 ||
           (a->has_mask && a->mask_len < a->total);
}

/* Plain attention over all keys may go 32 queries at a time, three times as
 * fast; the scratch for it, or 0 where that is not possible or more than an
 * eighth of what queries, keys and values take. (With less, a feed-forward
 * layer four times as wide stays the peak.) In a loop it is for who chooses
 * the tile: fewer than 16 queries need no blocks. */
static int64_t block_scratch(const Node *n, const Attn *a)
{
    int64_t size = 4, bytes = 32 * (a->dk + a->total) * size;

    if (n->in[ATTN_Q]->type.dt != DT_F32 || attend_ranged(a) || a->has_mask ||
        a->softcap > 0 || a->past || a->total == 0 || a->q_len < 16 ||
        !node_out(n, ATTN_Y) || node_out(n, ATTN_QK) ||
        node_out(n, ATTN_PRESENT_K) || node_out(n, ATTN_PRESENT_V) ||
        (!n->region &&
         bytes * 8 > a->batch * size *
                     (a->heads * a->q_len * a->dk +
                      a->kv_heads * a->total * (a->dk + a->dv))))
        return 0;
    return bytes;
}

int64_t scratch_attention(const Node *n)
{
    int64_t block;
    Attn a;

    if (!attn_read(n, &a))
        return 0;
    block = block_scratch(n, &a);
    return block ? block : a.total * dtype_bytes(n->in[ATTN_Q]->type.dt);
}

static const char *number(const Attend *t, double x)
{
    return emit_literal(t->e, t->dt, x);
}

const char *attend_place(const Attend *t, const char *ptr, AttnWalk w,
                         const char *head, const char *token)
{
    const Attn *a = &t->a;
    Buf b;

    buf_init(&b, t->e->arena);
    buf_puts(&b, ptr);
    if (a->batch > 1 && w.b)
        buf_printf(&b, " + b * %lld", (long long)w.b);
    if (a->heads > 1 && w.h)
        buf_printf(&b, " + %s * %lld", head, (long long)w.h);
    if (token && w.t)
        buf_printf(&b, " + %s * %lld", token, (long long)w.t);
    return b.s;
}

const char *attend_kv_head(const Attend *t)
{
    return t->a.group == 1 ? "h"
                           : arena_printf(t->e->arena, "h / %lld",
                                          (long long)t->a.group);
}

void attend_present(const Attend *t, int out, int past, int fresh,
                    AttnWalk new, AttnWalk all, int64_t size)
{
    const Attn *a = &t->a;
    Emit *e = t->e;
    const char *index = index_type(a->batch * all.b);

    if (!node_out(t->n, out) || a->kv_heads * a->batch * a->total * size == 0)
        return;
    e_open(e, "for (%s b = 0; b < %lld; b++)", index, (long long)a->batch);
    e_open(e, "for (%s h = 0; h < %lld; h++)", index, (long long)a->kv_heads);
    e_line(e, "%s *to = y%d + (b * %lld + h) * %lld;", t->type, out,
           (long long)a->kv_heads, (long long)all.h);
    if (a->past) {
        long long n = (long long)(a->past * size);
        e_line(e, "memcpy(to, x%d + (b * %lld + h) * %lld, %lldu * sizeof "
               "*to);", past, (long long)a->kv_heads, n, n);
        e_line(e, "to += %lld;", n);
    }
    e_open(e, "for (%s j = 0; j < %lld; j++)", index, (long long)a->kv_len);
    e_line(e, "memcpy(to + j * %lld, x%d + b * %lld + h * %lld + j * %lld, "
           "%lldu * sizeof *to);", (long long)size, fresh, (long long)new.b,
           (long long)new.h, (long long)new.t, (long long)size);
    for (int i = 0; i < 3; i++)
        e_close(e);
}

/* `to` no later than expression v */
static void limit_to(const Attend *t, const char *v)
{
    e_line(t->e, "to = to < %s ? to : %s;", v, v);
}

void attend_range(const Attend *t)
{
    const Attn *a = &t->a;
    Emit *e = t->e;

    e_line(e, a->left >= 0 ? "int32_t from = 0, to = %lld;"
                           : "const int32_t from = 0; int32_t to = %lld;",
           (long long)a->total);
    if (a->has_lens)
        e_line(e, "const int32_t len = x6[b] < 0 ? 0 : x6[b] > %lld ? %lld : "
               "(int32_t)x6[b];", (long long)a->total, (long long)a->total);
    if (a->causal || a->left >= 0 || a->right >= 0) {
        if (a->has_lens)
            e_line(e, "const int32_t at = i + len - %lld;",
                   (long long)a->q_len);
        else
            e_line(e, "const int32_t at = i + %lld;", (long long)a->past);
    }
    if (a->has_lens)
        limit_to(t, "len");
    if (a->causal)
        limit_to(t, "at + 1");
    if (a->right >= 0)
        limit_to(t, arena_printf(e->arena, "at + %lld",
                                 (long long)a->right + 1));
    if (a->has_mask && a->mask_len < a->total)
        limit_to(t, arena_printf(e->arena, "%lld", (long long)a->mask_len));
    e_line(e, "to = to < 0 ? 0 : to;");
    if (a->left < 0)
        return;
    e_line(e, "from = at > %lld ? at - %lld : 0;", (long long)a->left,
           (long long)a->left);
    e_line(e, "from = from < to ? from : to;");
}

AttendSource attend_source(const Attend *t, int out, int past, int fresh,
                           AttnWalk new, AttnWalk old, AttnWalk both)
{
    Arena *m = t->e->arena;
    const char *h = attend_kv_head(t);
    AttendSource s = { NULL, NULL, NULL, both, old, new };

    if (node_out(t->n, out)) {
        s.all = attend_place(t, arena_printf(m, "y%d", out), both, h, NULL);
    } else if (!t->a.past) {
        s.all = attend_place(t, arena_printf(m, "x%d", fresh), new, h, NULL);
        s.wall = new;
    } else {
        s.past = attend_place(t, arena_printf(m, "x%d", past), old, h, NULL);
        s.fresh = attend_place(t, arena_printf(m, "x%d", fresh), new, h, NULL);
    }
    return s;
}

/* keys [from, to) of one array whose first is key `base` of the row */
static void one_part(const Attend *t, const char *ptr, AttnWalk w,
                     const char *from, const char *to, int64_t base,
                     AttendPart *part, const void *user)
{
    const char *off = base ? arena_printf(t->e->arena, " - %lld",
                                          (long long)base) : "";
    const char *at = !strcmp(from, "0") ? ptr
        : arena_printf(t->e->arena, "%s + (%s%s) * %lld", ptr, from, off,
                       (long long)w.t);
    const char *n = !strcmp(from, "0") ? to
        : arena_printf(t->e->arena, "%s - %s", to, from);

    part(t, at, from, n, w.t, user);
}

void attend_parts(const Attend *t, const AttendSource *s, const char *from,
                  const char *to, AttendPart *part, const void *user)
{
    Arena *m = t->e->arena;
    long long past = (long long)t->a.past;
    bool whole = !strcmp(from, "0") &&
                 !strcmp(to, arena_printf(m, "%lld",
                                          (long long)t->a.total));

    if (s->all) {
        one_part(t, s->all, s->wall, from, to, 0, part, user);
        return;
    }
    if (whole) {
        one_part(t, s->past, s->wpast, "0", arena_printf(m, "%lld", past), 0,
                 part, user);
        one_part(t, s->fresh, s->wfresh, arena_printf(m, "%lld", past), to,
                 past, part, user);
        return;
    }
    e_open(t->e, "if (%s < %lld)", from, past);
    one_part(t, s->past, s->wpast, from,
             arena_printf(m, "(%s < %lld ? %s : %lld)", to, past, to, past),
             0, part, user);
    e_close(t->e);
    e_open(t->e, "if (%s > %lld)", to, past);
    one_part(t, s->fresh, s->wfresh,
             arena_printf(m, "(%s > %lld ? %s : %lld)", from, past, from,
                          past), to, past, part, user);
    e_close(t->e);
}

static void scores_part(const Attend *t, const char *keys, const char *from,
                        const char *n, int64_t step, const void *user)
{
    (void)user;
    emit_call(t->e, "attn_scores_T", t->dt, DT_NONE, "row + %s, q, %s, "
              "(size_t)(%s), %lldu, %lldu, %s", from, keys, n,
              (long long)t->a.dk, (long long)step,
              number(t, (double)t->a.scale));
}

static void mix_part(const Attend *t, const char *values, const char *from,
                     const char *n, int64_t step, const void *user)
{
    (void)user;
    emit_call(t->e, "attn_mix_T", t->dt, DT_NONE, "y, row + %s, %s, "
              "(size_t)(%s), %lldu, %lldu", from, values, n,
              (long long)t->a.dv, (long long)step);
}

static void keep(const Attend *t, int mode)
{
    const Attn *a = &t->a;

    if (node_out(t->n, ATTN_QK) && a->qk_mode == mode)
        e_line(t->e, "memcpy(y3 + ((b * %lld + h) * %lld + i) * %lld, row, "
               "%lldu * sizeof *row);", (long long)a->heads,
               (long long)a->q_len, (long long)a->total,
               (long long)a->total);
}

static void emit_softcap(const Attend *t, const char *from, const char *to)
{
    const char *cap = number(t, (double)t->a.softcap);

    if (t->a.softcap <= 0)
        return;
    e_open(t->e, "for (int32_t j = %s; j < %s; j++)", from, to);
    e_line(t->e, "row[j] = %s * %s(row[j] / %s);", cap,
           emit_kernel(t->e, "tanh_T", t->dt, DT_NONE), cap);
    e_close(t->e);
}

static void emit_mask(const Attend *t, const char *from, const char *to)
{
    if (!t->a.has_mask)
        return;
    e_line(t->e, "const %s *const mask = %s;",
           t->a.bool_mask ? "uint8_t" : t->type,
           attend_place(t, "x3", t->a.mask, "h", "i"));
    e_open(t->e, "for (int32_t j = %s; j < %s; j++)", from, to);
    if (t->a.bool_mask)
        e_line(t->e, "row[j] = mask[j] ? row[j] : %s;",
               number(t, (double)-INFINITY));
    else
        e_line(t->e, "row[j] += mask[j];");
    e_close(t->e);
}

/* fill what lies outside of from..to, for results that show it */
static void fill_outside(const Attend *t, double x, int mode)
{
    if (!node_out(t->n, ATTN_QK) || t->a.qk_mode != mode || !t->ranged)
        return;
    e_open(t->e, "for (int32_t j = 0; j < %lld; j++)",
           (long long)t->a.total);
    e_line(t->e, "row[j] = j >= from && j < to ? row[j] : %s;", number(t, x));
    e_close(t->e);
}

static void emit_query(const Attend *t, const AttendSource *k,
                       const AttendSource *v)
{
    const Attn *a = &t->a;
    const char *total = arena_printf(t->e->arena, "%lld",
                                     (long long)a->total);
    const char *from = t->ranged ? "from" : "0";
    const char *to = t->ranged ? "to" : total;
    bool show = node_out(t->n, ATTN_QK) && a->qk_mode < 2;

    e_line(t->e, "const %s *const q = %s;", t->type,
           attend_place(t, "x0", a->q, "h", "i"));
    if (node_out(t->n, ATTN_Y))
        e_line(t->e, "%s *const y = %s;", t->type,
               attend_place(t, "y0", a->y, "h", "i"));
    if (t->ranged)
        attend_range(t);
    attend_parts(t, k, show ? "0" : from, show ? total : to, scores_part,
                 NULL);
    keep(t, 0);
    emit_softcap(t, show ? "0" : from, show ? total : to);
    keep(t, 1);
    emit_mask(t, from, to);
    fill_outside(t, (double)-INFINITY, 2);
    keep(t, 2);
    emit_call(t->e, a->nan_rows ? "attn_softmax_nan_T" : "attn_softmax_T",
              t->dt, DT_NONE,
              t->ranged ? "row + from, (size_t)(to - from)" : "row, %su",
              total);
    fill_outside(t, 0, 3);
    keep(t, 3);
    if (!node_out(t->n, ATTN_Y))
        return;
    e_line(t->e, "memset(y, 0, %lldu * sizeof *y);", (long long)a->dv);
    attend_parts(t, v, from, to, mix_part, NULL);
}

/* All of it, 32 queries of a head at a time. */
static void emit_blocks(const Attend *t)
{
    const Attn *a = &t->a;
    Emit *e = t->e;

    e_line(e, "%s *const work = (%s *)(void *)s;", t->type, t->type);
    e_open(e, "for (int32_t b = 0; b < %lld; b++)", (long long)a->batch);
    e_open(e, "for (int32_t h = 0; h < %lld; h++)", (long long)a->heads);
    e_open(e, "for (int32_t i = 0; i < %lld; i += 32)", (long long)a->q_len);
    e_line(e, "const int n = i + 32 < %lld ? 32 : %lld - i;",
           (long long)a->q_len, (long long)a->q_len);
    emit_call(e, "attn_block_T", t->dt, DT_NONE, "n, %lld, %lld, %lld, %s, "
              "%lld, %s, %lld, %s, %lld, %s, work, %s, %lld",
              (long long)a->total, (long long)a->dk, (long long)a->dv,
              attend_place(t, "x0", a->q, "h", "i"), (long long)a->q.t,
              attend_place(t, "x1", a->k, attend_kv_head(t), NULL),
              (long long)a->k.t,
              attend_place(t, "x2", a->v, attend_kv_head(t), NULL),
              (long long)a->v.t, number(t, (double)a->scale),
              attend_place(t, "y0", a->y, "h", "i"), (long long)a->y.t);
    for (int i = 0; i < 3; i++)
        e_close(e);
}

void emit_attention(Emit *e, const Node *n)
{
    Attend t = { .e = e, .n = n, .dt = n->in[ATTN_Q]->type.dt };
    Attn *a = &t.a;
    AttendSource k, v;

    if (!attn_read(n, a))
        return;
    t.type = dtype_ctype(t.dt);
    t.ranged = attend_ranged(a);
    if (block_scratch(n, a)) {
        emit_blocks(&t);
        return;
    }
    attend_present(&t, ATTN_PRESENT_K, ATTN_PAST_K, ATTN_K, a->k,
                   a->present_k, a->dk);
    attend_present(&t, ATTN_PRESENT_V, ATTN_PAST_V, ATTN_V, a->v,
                   a->present_v, a->dv);
    if ((!node_out(n, ATTN_Y) && (!node_out(n, ATTN_QK) || !a->total)) ||
        a->batch * a->heads * a->q_len == 0)
        return;
    if (a->total == 0) {        /* nothing to attend to */
        e_line(e, "memset(y0, 0, %lldu * sizeof *y0);",
               (long long)(a->batch * a->heads * a->q_len * a->dv));
        return;
    }
    k = attend_source(&t, ATTN_PRESENT_K, ATTN_PAST_K, ATTN_K, a->k,
                      a->past_k, a->present_k);
    v = attend_source(&t, ATTN_PRESENT_V, ATTN_PAST_V, ATTN_V, a->v,
                      a->past_v, a->present_v);
    e_line(e, "%s *const row = (%s *)(void *)s;", t.type, t.type);
    e_open(e, "for (int32_t b = 0; b < %lld; b++)", (long long)a->batch);
    e_open(e, "for (int32_t h = 0; h < %lld; h++)", (long long)a->heads);
    e_open(e, "for (int32_t i = 0; i < %lld; i++)", (long long)a->q_len);
    emit_query(&t, &k, &v);
    for (int i = 0; i < 3; i++)
        e_close(e);
}

static void emit_position(Emit *e, const Rotary *r, bool ids)
{
    if (!ids) {
        e_line(e, "const int32_t at = b * %lld + t;", (long long)r->len);
        return;
    }
    e_line(e, "const int64_t id = x3[b * %lld + t];", (long long)r->len);
    e_line(e, "const int64_t up = id < -%lld ? 0 : id < 0 ? id + %lld : id;",
           (long long)r->positions, (long long)r->positions);
    e_line(e, "const int32_t at = up < %lld ? (int32_t)up : %lld;",
           (long long)r->positions, (long long)(r->positions - 1));
}

void emit_rotary(Emit *e, const Node *n)
{
    DType dt = n->in[0]->type.dt;
    bool pairs = ATTRS(rotary, n)->interleaved != 0;
    const char *head;
    Rotary r;

    if (!rotary_read(n, &r) || type_elems(&n->in[0]->type) == 0)
        return;
    e_open(e, "for (int32_t b = 0; b < %lld; b++)", (long long)r.batch);
    e_open(e, "for (int32_t t = 0; t < %lld; t++)", (long long)r.len);
    emit_position(e, &r, node_in(n, ROTARY_IDS) != NULL);
    e_open(e, "for (int32_t h = 0; h < %lld; h++)", (long long)r.heads);
    head = arena_printf(e->arena, "b * %lld + h * %lld + t * %lld",
                        (long long)(r.heads * r.len * r.size),
                        (long long)r.step_h, (long long)r.step_t);
    e_line(e, "const int32_t first = %s;", head);
    emit_call(e, "rotate_T", dt, DT_NONE, "y0 + first, x0 + first, x1 + at * "
              "%lld, x2 + at * %lld, %lldu, %lldu, %lldu, %du",
              (long long)r.half, (long long)r.half, (long long)r.half,
              (long long)r.size, pairs ? 1LL : (long long)r.half,
              pairs ? 2 : 1);
    for (int i = 0; i < 3; i++)
        e_close(e);
}
