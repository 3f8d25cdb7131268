/* stream_tiles.c - how many positions a turn of a loop takes. Small tiles
 * are for the peak; everywhere else larger ones cost nothing that counts, and
 * constants are read as often as there are turns. Loops of the same shape
 * (the layers of a transformer) are one question.
 */
#include "stream.h"

#include "storage.h"

typedef struct Loop {
    Region *region;
    Node *first;
    int64_t reads;              /* bytes of constants per inference at tile 1 */
    int class;
} Loop;

typedef struct Tiles {
    Graph *g;
    const PassOptions *opt;
    Loop *loop;
    int n, cap, nclass;
} Tiles;

static Node *behind(const Region *r, Node *first)
{
    Node *n = first;

    while (n && region_within(n->region, r))
        n = n->next;
    return n;
}

static int64_t constant_bytes(const Node *n)
{
    int64_t bytes = 0;

    for (int i = 0; i < n->nin; i++)
        if (value_is_const(n->in[i]))
            bytes += type_bytes(&n->in[i]->type);
    return bytes;
}

/* Same nodes on same types, in loops of the same extents? */
static bool alike(const Loop *a, const Loop *b)
{
    const Node *n = a->first, *m = b->first;

    if (a->region->extent != b->region->extent ||
        a->region->depth != b->region->depth)
        return false;
    for (;; n = n->next, m = m->next) {
        bool in = n && region_within(n->region, a->region);
        if (in != (m && region_within(m->region, b->region)))
            return false;
        if (!in)
            return true;
        if (n->op != m->op || n->nin != m->nin ||
            !type_equal(&n->out[0]->type, &m->out[0]->type) ||
            n->region->extent != m->region->extent ||
            n->region->depth != m->region->depth)
            return false;
    }
}

static void add_loop(Tiles *t, Region *r, Node *first)
{
    Loop l = { r, first, 0, t->nclass };

    for (Node *n = first; n != behind(r, first); n = n->next)
        l.reads += constant_bytes(n) * r->extent;
    for (int i = 0; i < t->n && l.class == t->nclass; i++)
        if (alike(&t->loop[i], &l))
            l.class = t->loop[i].class;
    t->nclass += l.class == t->nclass;
    PUSH(t->g->scratch, t->loop, t->n, t->cap, l);
}

static void find_loops(Tiles *t)
{
    Region *last[REGION_DEPTH] = { NULL };

    for EACH_NODE(n, t->g)
        for (int d = 0; d < REGION_DEPTH; d++) {
            Region *r = region_at(n->region, d);
            r = r && r->depth == d ? r : NULL;
            if (r && r != last[d])
                add_loop(t, r, n);
            last[d] = r;
        }
}

static void set_tile(const Tiles *t, int class, int64_t tile)
{
    for (int i = 0; i < t->n; i++) {
        const Loop *l = &t->loop[i];
        Node *end = behind(l->region, l->first);
        if (l->class != class)
            continue;
        l->region->tile = tile;
        for (Node *n = l->first; t->opt->scratch && n != end; n = n->next)
            t->opt->scratch(n);
    }
}

static const Loop *first_of(const Tiles *t, int class)
{
    const Loop *l = t->loop;

    while (l->class != class)
        l++;
    return l;
}

/* Bands must be in one piece, and more than one; of equal size they are
 * easier to hand over. */
static bool suits_bands(const Tiles *t, int class, int64_t tile)
{
    const Loop *l = first_of(t, class);
    Band b;

    if (l->first->op != OP_Receive)
        return true;
    graph_number(t->g);
    return !band_refusal(t->g) && graph_band(t->g, &b) && b.bands > 1 &&
           (l->region->slides || l->region->extent % tile == 0);
}

/* The largest tile with which the arena is at most `goal`. */
static void grow(const Tiles *t, int class, int64_t goal, int64_t work)
{
    PassOptions known = *t->opt;
    int64_t extent = first_of(t, class)->region->extent;
    int64_t was = first_of(t, class)->region->tile, tile = extent;

    known.scratch = NULL;
    while (tile > was) {
        int64_t next = 1;
        set_tile(t, class, tile);
        if (suits_bands(t, class, tile) &&
            plan_about(t->g, &known) <= goal && graph_work(t->g) <= work)
            return;
        while (next * 2 < tile)
            next *= 2;
        tile = next;
    }
    set_tile(t, class, was);
}

/* Most constants first. */
static int next_class(const Tiles *t, const bool *done)
{
    int64_t *reads = NEW_ARRAY(t->g->scratch, int64_t, t->nclass + 1);
    int best = -1;

    for (int i = 0; i < t->n; i++)
        reads[t->loop[i].class] += t->loop[i].reads;
    for (int c = 0; c < t->nclass; c++)
        if (!done[c] && (best < 0 || reads[c] > reads[best]))
            best = c;
    return best;
}

void stream_tiles(Graph *g, const PassOptions *opt, int64_t goal,
                  int64_t work)
{
    Tiles t = { .g = g, .opt = opt };
    bool *done;
    int class;

    for (int i = 0; i < g->nvalue; i++)
        g->value[i]->store = value_natural_store(g->value[i]);
    for EACH_NODE(n, g)
        if (opt->scratch)
            opt->scratch(n);
    find_loops(&t);
    done = NEW_ARRAY(g->scratch, bool, t.nclass + 1);
    while ((class = next_class(&t, done)) >= 0) {
        done[class] = true;
        grow(&t, class, goal, work);
    }
}
