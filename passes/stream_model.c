/* stream_model.c - what loops over a stretch of steps cost, without making
 * them: bytes live at most and products made again.
 *
 * Many loops are compared; asking the planner about each would take minutes.
 * Axis relations are asked once; what a turn makes and keeps follows from
 * them as in ir/region_slide.c, whose judgement is the one that counts: loops
 * that are chosen are laid, planned and measured there. Overwriting inside
 * the loops and what kernels need besides is left out.
 */
#include "stream.h"

#include <string.h>

#include "../ir/ops/window.h"
#include "../ir/relation.h"
#include "storage.h"

/* They are walked one by one, for every loop that is tried. */
enum { MOST_TURNS = 1 << 13 };

static int64_t rounded(int64_t bytes)
{
    return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

/* The model of a graph */

static bool may_enter(const Node *n)
{
    for (int i = 1; i < n->nout; i++)
        if (n->out[i])
            return false;
    return !n->region && n->nout > 0 && n->out[0] && !n->narrow &&
           !node_is_commit(n) && dtype_bits(n->out[0]->type.dt) >= 8;
}

/* Does n's window go along an axis that lies inside another one of it? */
static bool is_inner(const Node *n, int axis)
{
    int first;
    Window w;

    return axis_slides(n, axis) && node_window(n, &w, &first) &&
           type_span(&n->out[0]->type, first, axis) > 1;
}

static void model_step(const Model *m, Node *n)
{
    StepModel *s = &m->step[n->index];

    s->n = n;
    s->macs = node_macs(n);
    s->may_enter = may_enter(n);
    if (!s->may_enter)
        return;
    for (int axis = 0; axis < n->out[0]->type.rank; axis++) {
        s->tiles[axis] = axis_tiles(n, axis);
        s->accumulates[axis] = axis_accumulates(n, axis);
        s->dim[axis] = axis_indices(n, axis);
        s->pixels[axis] = is_inner(n, axis);
    }
    s->arc = NEW_ARRAY(m->g->scratch, Arc, n->nin + 1);
    for (int k = 0; k < n->nin; k++) {
        Arc *a = &s->arc[s->narc];
        if (!n->in[k] || value_is_const(n->in[k]))
            continue;
        a->v = n->in[k];
        a->maker = a->v->def ? a->v->def->index : -1;
        for (int axis = 0; axis < n->out[0]->type.rank; axis++)
            a->by[axis] = axis_relation(n, k, axis);
        s->narc++;
    }
}

static bool is_kept(const Model *m, int k)
{
    const Store *t = &m->s->store[k];

    return t->state || t->lasting ||
           (m->opt->keep_inputs && t->root->is_input);
}

static void find_lives(Model *m)
{
    m->first = NEW_ARRAY(m->g->scratch, int, m->s->nstore + 1);
    m->last = NEW_ARRAY(m->g->scratch, int, m->s->nstore + 1);
    for (int k = 0; k < m->s->nstore; k++) {
        const Node *def = m->s->store[k].root->def;
        m->first[k] = def && !m->s->store[k].state ? def->index : -1;
        m->last[k] = is_kept(m, k) ? m->n : m->first[k];
    }
    for (int t = 0; t < m->n; t++)
        for (int i = 0; i < m->s->step[t].nread; i++) {
            int k = m->s->step[t].read[i];
            m->last[k] = m->last[k] < t ? t : m->last[k];
        }
}

void model_init(Model *m, Graph *g, const PassOptions *opt)
{
    *m = (Model){ .g = g, .opt = opt };
    m->s = storage_new(g, opt);
    m->n = m->s->nstep;
    m->step = NEW_ARRAY(g->scratch, StepModel, m->n + 1);
    for EACH_NODE(n, g)
        model_step(m, n);
    find_lives(m);
}

/* A stretch */

static int last_reader(const Value *v)
{
    int last = v->is_output ? INT32_MAX : -1;

    for (int i = 0; i < v->nuse; i++)
        last = v->use[i]->index > last ? v->use[i]->index : last;
    return last;
}

/* Stores that live there besides what is made inside: *beside those that are
 * not touched, and as bytes the ones that are read. */
static void find_outside(Stretch *s)
{
    const Model *m = s->m;
    bool *read = NEW_ARRAY(m->g->scratch, bool, m->s->nstore + 1);
    bool *made = NEW_ARRAY(m->g->scratch, bool, m->s->nstore + 1);

    s->outside = reserved_bytes(m->g, m->opt);
    for (int t = s->first; t < s->first + s->n; t++) {
        const Step *step = &m->s->step[t];
        for (int i = 0; i < step->nread; i++)
            read[step->read[i]] = true;
        for (int i = 0; i < step->nmake; i++)
            made[step->make[i]] = true;
    }
    for (int k = 0; k < m->s->nstore; k++) {
        bool before = m->first[k] < s->first;
        bool behind = m->last[k] >= s->first + s->n;
        if (made[k] ? behind : before && (read[k] || behind))
            s->outside += m->s->store[k].bytes;
        if (read[k] && before && !behind && !m->s->store[k].state &&
            m->s->store[k].bytes > s->dying_bytes) {
            s->dying = k;
            s->dying_bytes = m->s->store[k].bytes;
        }
    }
}

Stretch *stretch_new(const Model *m, int first, int last)
{
    Stretch *s = NEW(m->g->scratch, Stretch);

    s->m = m;
    s->first = first;
    s->n = last - first + 1;
    s->dying = -1;
    for (int i = 0; i < s->n; i++) {
        const StepModel *step = &m->step[first + i];
        s->ended = s->ended || !step->may_enter;
        s->reader[i] = step->may_enter ? last_reader(step->n->out[0]) - first
                                       : 0;
    }
    if (!s->ended)
        find_outside(s);
    return s;
}

/* Loops */

/* What one loop makes of the steps [first, last] of the stretch. */
typedef struct Walk {
    const Stretch *s;
    int first, last;
    int64_t extent, tile;
    const signed char *axis;
    Slide *slide;
    bool slides;
} Walk;

typedef struct Asked {
    int64_t unit, from, to;     /* unit 0: nothing yet */
} Asked;

/* Reader u at depth of the walk asks for a's value; false: it cannot. */
static bool ask(const Walk *w, int u, const Arc *a, Asked *asked, int axis)
{
    const Slide *s = &w->slide[u];
    const Relation *r = &a->by[w->axis[u]];
    int64_t from = s->to - s->made, unit, to;

    if (r->kind == REL_POINT && r->out_unit == 1) {
        unit = s->unit * r->in_unit;
        from = from * r->in_unit;
        to = s->to * r->in_unit;
    } else if (r->kind == REL_WINDOW) {
        unit = s->unit * r->stride;
        from = from * r->stride - r->pad;
        to = (s->to - 1) * r->stride - r->pad + (r->size - 1) * r->dilation +
             1;
    } else {
        return false;
    }
    if (r->axis != axis || (asked->unit && asked->unit != unit))
        return false;
    if (!asked->unit || from < asked->from)
        asked->from = from;
    if (!asked->unit || to > asked->to)
        asked->to = to;
    asked->unit = unit;
    return true;
}

enum { OUTSIDE, HERE, DEEPER };

static bool finish(const Walk *w, int t, Asked a, int where)
{
    int64_t dim = w->s->m->step[w->s->first + t].dim[w->axis[t]], end;
    Slide *s = &w->slide[t];

    if (!a.unit || where == OUTSIDE) {
        int64_t unit = a.unit ? a.unit : dim / w->extent;
        if (!a.unit && dim % w->extent)
            return false;
        if (!a.unit || a.to < unit * w->tile)
            a.to = unit * w->tile;
        a.from = a.unit && a.from < 0 ? a.from : 0;
        a.unit = unit;
    }
    *s = (Slide){ a.unit, a.to, a.unit * w->tile, a.unit * w->tile };
    if (where == DEEPER)
        s->made = s->kept = a.to - a.from;
    else if (where == HERE && a.to - a.from > s->kept)
        s->kept = a.to - a.from;
    end = (w->extent - 1) / w->tile * w->tile * a.unit + a.to;
    return where != OUTSIDE || end >= dim;
}

/* Slides of all steps of the loop; where[t]: where results are stored. */
static bool walk(Walk *w, const signed char *where)
{
    Asked asked[REACH];

    memset(asked, 0, sizeof asked);
    for (int t = w->last; t >= w->first; t--) {
        const StepModel *s = &w->s->m->step[w->s->first + t];
        if (!finish(w, t, asked[t], where[t]))
            return false;
        for (int k = 0; k < s->narc; k++) {
            int maker = s->arc[k].maker - w->s->first;
            const Relation *r = &s->arc[k].by[w->axis[t]];
            if (r->kind == REL_WINDOW)
                w->slides = true;
            if (maker >= w->first &&
                !ask(w, t, &s->arc[k], &asked[maker], w->axis[maker]))
                return false;
            if (r->kind == REL_POINT && r->out_unit != 1)
                return false;
        }
    }
    return true;
}

/* Axes of [first, last] from the last one's on; false: they do not agree. */
static bool find_axes(const Stretch *s, int first, int last, int axis,
                      signed char *of)
{
    for (int t = first; t <= last; t++)
        of[t] = -1;
    for (int t = last; t >= first; t--) {
        const StepModel *step = &s->m->step[s->first + t];
        if (of[t] < 0)
            of[t] = (signed char)axis;
        if (of[t] >= step->n->out[0]->type.rank || !step->tiles[of[t]])
            return false;
        for (int k = 0; k < step->narc; k++) {
            const Relation *r = &step->arc[k].by[of[t]];
            int maker = step->arc[k].maker - s->first;
            if (maker < first)
                continue;
            if ((r->kind != REL_POINT && r->kind != REL_WINDOW) ||
                (of[maker] >= 0 && of[maker] != r->axis) ||
                s->m->step[s->first + maker].accumulates[r->axis])
                return false;
            of[maker] = (signed char)r->axis;
        }
    }
    return true;
}

/* Everything about loops l over the stretch. */
typedef struct Sketch {
    const Stretch *s;
    const Loops *l;
    signed char span[REACH], row[REACH], col[REACH];
    signed char row_store[REACH], col_store[REACH];
    Slide rows[REACH], cols[REACH];
    int64_t live[REACH + 1];
} Sketch;

static const Value *result(const Sketch *k, int t)
{
    return k->s->m->step[k->s->first + t].n->out[0];
}

/* Indices of the axis of step t's result, or of what it sums up. */
static int64_t indices(const Sketch *k, int t, int axis)
{
    return k->s->m->step[k->s->first + t].dim[axis];
}

/* Where results live: whole, in the loop over rows, in one over columns. */
static void find_stores(Sketch *k)
{
    for (int t = 0; t < k->s->n; t++)
        k->span[t] = -1;
    for (int i = 0; i < k->l->n; i++)
        for (int t = k->l->span[i].first; t <= k->l->span[i].last; t++)
            k->span[t] = (signed char)i;
    for (int t = 0; t < k->s->n; t++) {
        int last = k->s->reader[t], i = k->span[t];
        bool inner = i >= 0 && last <= k->l->span[i].last && last > t;
        k->row_store[t] = last >= k->s->n || last < 0 ? OUTSIDE
                          : inner ? DEEPER : HERE;
        k->col_store[t] = inner ? HERE : OUTSIDE;
    }
}

static bool walk_all(Sketch *k)
{
    const Loops *l = k->l;
    int n = k->s->n;
    Walk w = { k->s, 0, n - 1, 0, l->tile, k->row, k->rows, false };

    if (l->axis >= result(k, n - 1)->type.rank ||
        !find_axes(k->s, 0, n - 1, l->axis, k->row))
        return false;
    w.extent = indices(k, n - 1, l->axis);
    if (w.extent < 2 || w.extent > MOST_TURNS || !walk(&w, k->row_store) ||
        !w.slides)
        return false;
    for (int i = 0; i < l->n; i++) {
        const Span *p = &l->span[i];
        Walk c = { k->s, p->first, p->last, 0, p->tile, k->col, k->cols,
                   false };
        if (p->axis >= result(k, p->last)->type.rank ||
            !find_axes(k->s, p->first, p->last, p->axis, k->col))
            return false;
        c.extent = indices(k, p->last, p->axis);
        if (c.extent < 2 || c.extent > MOST_TURNS || !walk(&c, k->col_store))
            return false;
        for (int t = p->first; t <= p->last; t++)
            if (k->col[t] == k->row[t])
                return false;
    }
    return true;
}

/* The first turn: windows fill before position 0 is made. */
static int64_t first_turn(const Sketch *k)
{
    int64_t tile = k->l->tile, begin = 0;

    for (int t = 0; t < k->s->n; t++) {
        const Slide *s = &k->rows[t];
        int64_t early = s->to - s->made;
        if (early <= 0)
            continue;
        early = (early + s->unit - 1) / s->unit;
        early = (early + tile - 1) / tile * tile;
        begin = -early < begin ? -early : begin;
    }
    return begin;
}

/* Of step t: products of rows made again, at borders less. */
static int64_t repeated_macs(const Sketch *k, int t, int64_t begin)
{
    const Slide *s = &k->rows[t];
    int64_t dim = indices(k, t, k->row[t]), sum = 0;
    int64_t extent = indices(k, k->s->n - 1, k->l->axis);
    int64_t macs = k->s->m->step[k->s->first + t].macs;

    for (int64_t p = begin; macs && p < extent; p += k->l->tile) {
        int64_t to = p * s->unit + s->to, from = to - s->made;
        from = from < 0 ? 0 : from;
        to = to > dim ? dim : to;
        sum += to > from ? to - from : 0;
    }
    return macs ? (int64_t)((double)macs * (double)sum / (double)dim) - macs
                : 0;
}

/* Bytes of n's operand a that a turn of loops over columns copies, because
 * its window is no single piece of what is stored. */
static int64_t copied(const Sketch *k, int t, const Arc *a)
{
    int maker = a->maker - k->s->first;
    const Relation *r = &a->by[k->row[t]], *c = &a->by[k->col[t]];
    int64_t rows = r->kind == REL_WINDOW ? r->size : 1;
    int64_t cols = c->kind == REL_WINDOW ? c->size : 1;
    int64_t bytes = dtype_bytes(a->v->type.dt);

    if (rows == 1 || maker < 0)
        return 0;
    if (k->span[maker] >= 0 && k->col_store[maker] == HERE &&
        k->cols[maker].kept == cols)
        cols--;                 /* at the border */
    for (int d = 0; d < a->v->type.rank; d++)
        bytes *= d == r->axis ? rows : d == c->axis ? cols
                                                    : a->v->type.dim[d];
    return rounded(bytes);
}

static void add_live(Sketch *k, int64_t bytes, int from, int to)
{
    for (int t = from; t <= to; t++)
        k->live[t] += bytes;
}

/* Step t's result, as much of it as is stored in the loops. */
static void add_result(Sketch *k, Loops *l, int t)
{
    const Type *y = &result(k, t)->type;
    const Slide *r = &k->rows[t], *c = &k->cols[t];
    bool inner = k->row_store[t] == DEEPER, carried;
    int64_t bytes = dtype_bytes(y->dt);
    int from = t, to = k->s->reader[t];

    for (int d = 0; d < y->rank; d++)
        bytes *= d == k->row[t] ? (inner ? r->made : r->kept)
                 : inner && d == k->col[t] ? c->kept : y->dim[d];
    bytes = rounded(bytes);
    carried = inner ? c->kept > c->unit : r->kept > r->unit * l->tile;
    if (inner && carried) {
        from = l->span[k->span[t]].first;
        to = l->span[k->span[t]].last;
    } else if (!inner && carried) {
        from = 0;
        to = k->s->n - 1;
    } else if (!inner) {
        from = k->span[t] >= 0 ? l->span[k->span[t]].first : t;
        to = k->span[to] >= 0 ? l->span[k->span[to]].last : to;
    }
    if (!inner)
        l->held += bytes;
    add_live(k, bytes, from, to);
}

/* What a result that is whole may share with the largest operand that dies,
 * row by row in the order of memory. */
static int64_t shared(const Sketch *k)
{
    const Type *y = &result(k, k->s->n - 1)->type, *x;
    int64_t yrow = dtype_bytes(y->dt), xrow, low, most, ybytes, shift = 0;
    int64_t extent = y->dim[k->l->axis], unit = 0, ahead;
    int last = k->s->n - 1;

    if (k->s->dying < 0 ||
        k->s->m->step[k->s->first + last].accumulates[k->l->axis])
        return 0;
    x = &k->s->m->s->store[k->s->dying].root->type;
    xrow = dtype_bytes(x->dt);
    ybytes = rounded(type_bytes(y));
    yrow *= type_span(y, k->l->axis + 1, y->rank);
    for (int t = 0; t < k->s->n; t++) {
        const StepModel *s = &k->s->m->step[k->s->first + t];
        for (int i = 0; i < s->narc; i++) {
            const Relation *r = &s->arc[i].by[k->row[t]];
            if (k->s->m->s->of[s->arc[i].v->id] != k->s->dying)
                continue;
            if (r->kind != REL_WINDOW && r->kind != REL_POINT)
                return 0;
            unit = k->rows[t].unit * (r->kind == REL_WINDOW ? r->stride
                                                            : r->in_unit);
            low = (k->rows[t].to - k->rows[t].made) *
                      (r->kind == REL_WINDOW ? r->stride : r->in_unit) -
                  (r->kind == REL_WINDOW ? r->pad : 0);
            xrow = dtype_bytes(x->dt) * type_span(x, r->axis + 1, x->rank);
            /* columns to come read the same rows again */
            ahead = t == last || (k->span[t] >= 0 &&
                                  k->span[t] == k->span[last])
                        ? 0 : k->l->tile;
            for (int64_t p = 0; p + ahead < extent; p += k->l->tile) {
                int64_t at = (p + ahead) * unit + low;
                int64_t end = (type_span(y, 0, k->l->axis) - 1) * extent *
                                  yrow + (p + k->l->tile) * yrow;
                at = at < 0 ? 0 : at * xrow;
                shift = end - at > shift ? end - at : shift;
            }
        }
    }
    most = shift + k->s->dying_bytes;
    most = most > ybytes ? most : ybytes;
    return ybytes + k->s->dying_bytes - rounded(most);
}

static bool takes_pixels(const Sketch *k)
{
    for (int t = 0; t < k->s->n; t++)
        if (k->s->m->step[k->s->first + t].pixels[k->row[t]])
            return true;
    return false;
}

bool stretch_measure(const Stretch *s, Loops *l)
{
    Sketch k = { .s = s, .l = l };
    int64_t peak = 0, saved, begin;

    find_stores(&k);
    if (!walk_all(&k))
        return false;
    begin = first_turn(&k);
    l->pixels = takes_pixels(&k);
    l->macs = l->held = 0;
    memset(k.live, 0, sizeof k.live);
    for (int t = 0; t < s->n; t++) {
        const StepModel *step = &s->m->step[s->first + t];
        l->macs += repeated_macs(&k, t, begin);
        if (k.row_store[t] != OUTSIDE)
            add_result(&k, l, t);
        for (int i = 0; i < step->narc && k.span[t] >= 0; i++)
            k.live[t] += copied(&k, t, &step->arc[i]);
    }
    for (int t = 0; t < s->n; t++)
        peak = k.live[t] > peak ? k.live[t] : peak;
    saved = s->reader[s->n - 1] >= s->n ? shared(&k) : 0;
    l->peak = peak + s->outside - (saved > 0 ? saved : 0);
    return true;
}
