/* plan_rules.c - --check-plan: what every plan must keep.
 *
 * Sizes, lifetimes and totals are computed here from the graph and the order
 * of the steps; what the file states must equal them. Then the byte-wise
 * replay of passes/check_plan.c runs on the file's addresses.
 */
#include "plan_file.h"

#include <stdlib.h>
#include <string.h>

#include "../ir/region.h"

enum { ALIGN = 8, INPUT_TIME = -1 };

static long long ll(int64_t x)
{
    return (long long)x;
}

static int64_t align_up(int64_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static bool has_bytes(const Value *v)
{
    return v && !value_is_const(v) && type_bytes(&v->type) > 0 &&
           !value_in_bands(v);
}

/* Everything that needs a place has one of the right size. */
static bool placed(const PlanFile *f, const Value *v)
{
    if (!has_bytes(v) || v->buf)
        return true;
    return plan_bad(f, json_get(f->root, "buffers"),
                    "'%s' (%lld B) is in no buffer", v->name,
                    ll(type_bytes(&v->type)));
}

static bool all_placed(const PlanFile *f)
{
    for (int i = 0; i < f->g->nin; i++)
        if (!placed(f, f->g->in[i]))
            return false;
    for (const State *s = f->g->state; s; s = s->next)
        if (!placed(f, s->in))
            return false;
    for EACH_NODE(n, f->g) {
        for (int i = 0; i < n->nout; i++)
            if (!placed(f, n->out[i]))
                return false;
        if (n->scratch && !n->scratch_buf)
            return plan_bad(f, json_get(f->root, "buffers"), "step %d, '%s' "
                            "(%s): its %lld B of scratch are in no buffer",
                            n->index, n->name, op_name(n->op),
                            ll(n->scratch));
        if (n->scratch && n->scratch_buf->bytes != n->scratch)
            return plan_bad(f, f->of[n->scratch_buf->id], "scratch of step "
                            "%d, '%s' (%s), has %lld B, not %lld", n->index,
                            n->name, op_name(n->op), ll(n->scratch),
                            ll(n->scratch_buf->bytes));
    }
    return true;
}

/* Tiles in pieces are copied through scratch; it was counted for the loops
 * furthest in, and must do where a value is stored further out. */
static bool scratch_enough(const PlanFile *f)
{
    for EACH_NODE(n, f->g) {
        int64_t has = n->scratch_buf ? n->scratch_buf->bytes : 0;
        codegen_scratch(n);
        if (n->scratch > has)
            return plan_bad(f, json_get(f->root, "buffers"), "step %d, '%s' "
                            "(%s), needs %lld B of scratch for tiles that "
                            "are stored in pieces, not %lld", n->index,
                            n->name, op_name(n->op), ll(n->scratch),
                            ll(has));
        n->scratch = has;
    }
    return true;
}

typedef struct Life {
    int first, last;
    int64_t end;                /* of the values in it */
} Life;

static void grow(Life *life, const Value *v, int nsteps, bool keep)
{
    int64_t end = v->delta + value_stored_bytes(v);
    int first, last;

    plan_needed(v, &first, &last);
    if (v->is_output || keep)
        last = nsteps;
    if (first < life->first)
        life->first = first;
    if (last > life->last)
        life->last = last;
    if (end > life->end)
        life->end = end;
}

static Life *lifetimes(const PlanFile *f)
{
    const Graph *g = f->g;
    const Plan *p = g->plan;
    Life *life = NEW_ARRAY(g->scratch, Life, p->nbuf + 1);

    for (int i = 0; i < p->nbuf; i++)
        life[i] = (Life){ p->nsteps + 1, INPUT_TIME - 1, 0 };
    for (int i = 0; i < g->nin; i++)
        if (g->in[i]->buf)
            grow(&life[g->in[i]->buf->id], g->in[i], p->nsteps,
                 f->c->opt->keep_inputs);
    for (const State *s = g->state; s; s = s->next)
        if (s->in->buf)
            grow(&life[s->in->buf->id], s->in, p->nsteps, true);
    for EACH_NODE(n, g) {
        for (int i = 0; i < n->nout; i++)
            if (n->out[i] && n->out[i]->buf)
                grow(&life[n->out[i]->buf->id], n->out[i], p->nsteps, false);
        if (n->scratch_buf)
            life[n->scratch_buf->id] = (Life){ n->index, n->index,
                                               n->scratch };
    }
    return life;
}

static bool check_buffer(const PlanFile *f, const Buffer *b,
                         const Life *life)
{
    const Plan *p = f->g->plan;
    const MemPool *pool = &p->pool[b->pool];
    const Json *at = f->of[b->id];
    bool in_state = b->pool == p->state_pool && b->offset < p->state_end;

    if (b->bytes != life->end)
        return plan_bad(f, at, "buffer '%s' has %lld B, its values need "
                        "%lld", b->name, ll(b->bytes), ll(life->end));
    if (b->first != life->first || b->last != life->last)
        return plan_bad(f, at, "buffer '%s' lives in steps %d to %d, not %d "
                        "to %d", b->name, life->first, life->last, b->first,
                        b->last);
    if (b->offset % ALIGN)
        return plan_bad(f, at, "buffer '%s': offset %lld is no multiple of "
                        "%d", b->name, ll(b->offset), ALIGN);
    if (b->offset + b->bytes > pool->bytes)
        return plan_bad(f, at, "buffer '%s' ends at %lld, outside %s%s of "
                        "%lld B (step %d)", b->name,
                        ll(b->offset + b->bytes),
                        pool->name ? "pool " : "the arena",
                        pool->name ? pool->name : "", ll(pool->bytes),
                        b->first < 0 ? 0 : b->first);
    if (in_state != b->is_state)
        return plan_bad(f, at, "buffer '%s' is %sstate, and %s the state "
                        "region of %lld B", b->name,
                        b->is_state ? "" : "no ", in_state ? "in"
                        : "outside", ll(p->state_bytes));
    if (in_state && (b->offset < p->state_at ||
                     b->offset + b->bytes > p->state_at + p->state_bytes))
        return plan_bad(f, at, "buffer '%s' lies in another model's state",
                        b->name);
    return true;
}

static bool check_totals(const PlanFile *f)
{
    const Plan *p = f->g->plan;
    const Json *arena = json_get(f->root, "arena");
    int64_t state = (f->c->opt->weights_file ? 8 : 0) +
                    (f->g->nlevel ? align_up(f->g->nlayer) : 0);
    Band band;

    if (graph_band(f->g, &band))
        state += BAND_COUNT_BYTES;
    for (int i = 0; i < p->nbuf; i++)
        if (p->buf[i]->is_state)
            state += align_up(p->buf[i]->bytes);
    if (state != p->state_bytes)
        return plan_bad(f, arena, "the state region has %lld B, not %lld",
                        ll(state), ll(p->state_bytes));
    for (int k = 0; k < p->npool; k++) {
        int64_t top = k == p->state_pool ? p->state_end : 0;
        for (int i = 0; i < p->nbuf; i++) {
            int64_t end = p->buf[i]->offset + p->buf[i]->bytes;
            if (p->buf[i]->pool == k && end > top)
                top = end;
        }
        top = align_up(top) < ALIGN ? ALIGN : align_up(top);
        if (p->is_shared ? top > p->pool[k].bytes : top != p->pool[k].bytes)
            return plan_bad(f, arena, "%s%s has %lld B, its buffers need "
                            "%lld", p->pool[k].name ? "pool " : "the arena",
                            p->pool[k].name ? p->pool[k].name : "",
                            ll(p->pool[k].bytes), ll(top));
        if (p->pool[k].limit >= 0 && p->pool[k].bytes > p->pool[k].limit)
            return plan_bad(f, arena, "pool %s: %lld B, %lld at most",
                            p->pool[k].name, ll(p->pool[k].bytes),
                            ll(p->pool[k].limit));
    }
    return true;
}

/* Bytes that overlapping buffers have in common, by step. */
static int64_t *common_bytes(const PlanFile *f)
{
    const Plan *p = f->g->plan;
    int64_t *common = NEW_ARRAY(f->g->scratch, int64_t, p->nsteps + 1);

    for (int i = 0; i < f->nover; i++) {
        const Buffer *y = p->buf[f->over[i].result];
        const Buffer *x = p->buf[f->over[i].operand];
        int64_t from = y->offset > x->offset ? y->offset : x->offset;
        int64_t to = y->offset + y->bytes;
        if (x->offset + x->bytes < to)
            to = x->offset + x->bytes;
        for (int t = y->first; t <= x->last; t++)       /* one, or loops */
            common[t] += to - from;
    }
    return common;
}

static bool check_live(const PlanFile *f)
{
    const Plan *p = f->g->plan;
    const Json *steps = json_get(f->root, "steps");
    const int64_t *common = common_bytes(f);
    int64_t *live = NEW_ARRAY(f->g->scratch, int64_t, p->nsteps + 2), said;

    for (int i = 0; i < p->nbuf; i++) {
        const Buffer *b = p->buf[i];
        live[b->first < 0 ? 0 : b->first] += b->bytes;
        live[b->last + 1] -= b->bytes;
    }
    for (int i = 0; i < steps->n; i++) {
        live[i + 1] += live[i];
        if (!plan_int(f, steps->item[i], "live_bytes", &said))
            return false;
        if (said != live[i] - common[i])
            return plan_bad(f, steps->item[i], "step %d: %lld B are live, "
                            "not %lld", i, ll(live[i] - common[i]),
                            ll(said));
    }
    return true;
}

static bool same_shape(const Json *j, const Type *t)
{
    if (!j || j->kind != JSON_ARRAY || j->n != t->rank)
        return false;
    for (int i = 0; i < t->rank; i++)
        if (j->item[i]->kind != JSON_INT || j->item[i]->number != t->dim[i])
            return false;
    return true;
}

/* Of an input that comes in bands, the bytes of one and where it is
 * written. */
static int64_t io_bytes(const Graph *g, const Value *v, int64_t *at)
{
    Band b;

    *at = v->buf ? v->buf->offset + v->delta : 0;
    if (!value_in_bands(v) || !graph_band(g, &b))
        return type_bytes(&v->type);
    *at = b.value->buf->offset + b.value->delta + b.at;
    return band_bytes(&b);
}

static bool check_band(const PlanFile *f, const Json *j, const Value *v)
{
    const Json *band = json_get(j, "band");
    int64_t axis, rows, bands, planes, row_bytes, loop;
    Band b;

    if (!value_in_bands(v) || !graph_band(f->g, &b))
        return !band || plan_bad(f, band, "'%s' does not come in bands",
                                 v->name);
    if (!band || band->kind != JSON_OBJECT)
        return plan_bad(f, j, "'%s' comes in bands: 'band' is %s", v->name,
                        json_kind(band));
    return (plan_int(f, band, "axis", &axis) &&
            plan_int(f, band, "rows", &rows) &&
            plan_int(f, band, "bands", &bands) &&
            plan_int(f, band, "planes", &planes) &&
            plan_int(f, band, "row_bytes", &row_bytes) &&
            plan_int(f, band, "region", &loop)) &&
           ((axis == b.axis && rows == b.rows && bands == b.bands &&
             planes == b.planes && row_bytes == b.row_bytes &&
             loop == b.loop->id) ||
            plan_bad(f, band, "'%s' comes in %lld bands of %lld indices of "
                     "axis %d, %lld planes of %lld B each index, in loop %d",
                     v->name, ll(b.bands), ll(b.rows), b.axis, ll(b.planes),
                     ll(b.row_bytes), b.loop->id));
}

static bool check_io(const PlanFile *f, const char *key, Value *const *v,
                     int n, bool in)
{
    const Plan *p = f->g->plan;
    const Json *list;

    if (!plan_list(f, f->root, key, &list))
        return false;
    if (list->n != n)
        return plan_bad(f, list, "%d %s, the model has %d", list->n, key, n);
    for (int i = 0; i < n; i++) {
        const Json *j = list->item[i];
        const char *name, *dtype, *want = in ? v[i]->name : value_label(v[i]);
        int64_t bytes, offset, at, takes = io_bytes(f->g, v[i], &at);
        if (!plan_text(f, j, "name", &name) ||
            !plan_text(f, j, "dtype", &dtype) ||
            !plan_int(f, j, "bytes", &bytes) ||
            !plan_int(f, j, "offset", &offset))
            return false;
        if (strcmp(name, want) || strcmp(dtype, dtype_name(v[i]->type.dt)) ||
            !same_shape(json_get(j, "shape"), &v[i]->type) ||
            bytes != takes)
            return plan_bad(f, j, "%s[%d] is not the model's '%s'", key, i,
                            want);
        if (offset != at)
            return plan_bad(f, j, "'%s' is at %lld in its buffer, at %lld "
                            "here", want, ll(at), ll(offset));
        if (in && !check_band(f, j, v[i]))
            return false;
        if (v[i]->buf && p->pool[v[i]->buf->pool].name) {
            const char *pool;
            if (!plan_text(f, j, "pool", &pool))
                return false;
            if (strcmp(pool, p->pool[v[i]->buf->pool].name))
                return plan_bad(f, j, "'%s' is in pool %s", want,
                                p->pool[v[i]->buf->pool].name);
        }
    }
    return true;
}

/* Narrower widths lie in the same places. */
static bool check_widths(Graph *g)
{
    Graph **at = g->nlevel ? widths_attach(g) : NULL;

    for (int l = 0; at && l < g->nlevel - 1; l++)
        if (!plan_check(at[l]))
            return false;
    return at || !g->nlevel;
}

bool plan_file_rules(PlanFile *f)
{
    const Plan *p = f->g->plan;
    Life *life;

    if (band_refusal(f->g))
        return plan_bad(f, json_get(f->root, "steps"), "bands of an input: "
                        "%s", band_refusal(f->g));
    if (!all_placed(f) || !scratch_enough(f))
        return false;
    life = lifetimes(f);
    for (int i = 0; i < p->nbuf; i++)
        if (!check_buffer(f, p->buf[i], &life[i]))
            return false;
    if (!plan_overlaps(f) || !plan_apart(f) || !check_totals(f) ||
        !check_live(f) ||
        !check_io(f, "inputs", f->g->in, f->g->nin, true) ||
        !check_io(f, "outputs", f->g->out, f->g->nout, false) ||
        !plan_bounds(f))
        return false;
    f->c->diag->file = f->path;
    return plan_check(f->g) && check_widths(f->g);
}
