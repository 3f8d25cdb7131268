/* band.c - an input that never exists whole: the caller writes a band of rows
 * (a camera's DMA), a turn of a loop takes it in, and so on.
 *
 * In the graph the loop begins with a node Receive, the input's only reader:
 * its result is the band, or where windows are read along it the line buffer
 * at whose end the band stands. The input itself has no place in the arena.
 * The interpreter takes the whole input, Receive is the identity.
 */
#include "region.h"

#include <string.h>

static Node *receiver(const Graph *g)
{
    for EACH_NODE(n, g)
        if (n->op == OP_Receive)
            return n;
    return NULL;
}

bool value_in_bands(const Value *v)
{
    return v && v->is_input && v->nuse == 1 && v->use[0]->op == OP_Receive;
}

int64_t band_bytes(const Band *b)
{
    return b->planes * b->rows * b->row_bytes;
}

bool graph_band(const Graph *g, Band *b)
{
    Node *n = receiver(g);
    Cut cut[REGION_DEPTH];
    const Slide *s;
    Type t;

    if (!n || !n->region || n->region->parent || !node_cuts(n, ~0, cut) ||
        cut[0].axis < 0)
        return false;
    s = &n->slide[0];
    *b = (Band){ .receive = n, .input = n->in[0], .value = n->out[0],
                 .loop = n->region, .axis = cut[0].axis };
    t = b->input->type;
    b->rows = cut[0].unit * b->loop->tile;
    b->bands = (t.dim[b->axis] + b->rows - 1) / b->rows;
    b->planes = type_span(&t, 0, b->axis);
    b->row_bytes = type_span(&t, b->axis + 1, t.rank) * dtype_bytes(t.dt);
    if (loop_slides(n, 0))
        b->at = (s->kept - s->made) * b->row_bytes;
    return true;
}

void *band_order(const Band *b, const void *whole, Arena *arena)
{
    int64_t piece = b->rows * b->row_bytes, dim = b->input->type.dim[b->axis];
    char *all = arena_alloc(arena, (size_t)(b->bands * band_bytes(b)) + 16);

    for (int64_t k = 0; k < b->bands; k++)
        for (int64_t p = 0; p < b->planes; p++) {
            int64_t left = dim - k * b->rows;
            memcpy(all + (k * b->planes + p) * piece,
                   (const char *)whole + (p * dim + k * b->rows) *
                                             b->row_bytes,
                   (size_t)((left < b->rows ? left : b->rows) *
                            b->row_bytes));
        }
    return all;
}

/* In a loop that slides: does its first turn take the first band, and is the
 * band one piece of what is stored? */
static const char *slide_refusal(const Band *b)
{
    const Slide *s = &b->receive->slide[0];

    if (!loop_slides(b->receive, 0))
        return NULL;
    if (b->loop->begin * s->unit + s->to != s->made)
        return "another input is needed before the first band";
    if (b->planes > 1 && s->kept > s->made)
        return "rows that are kept stand between its planes";
    return NULL;
}

const char *band_refusal(const Graph *g)
{
    const Node *n = receiver(g);
    Band b;

    for EACH_NODE(m, g)
        if (m->op == OP_Receive && m != n)
            return "one input can come in bands, not two";
    if (!n)
        return NULL;
    if (!value_in_bands(n->in[0]) || n->in[0]->is_output)
        return "it receives an input of the graph that nobody else reads";
    for (const State *s = g->state; s; s = s->next)
        if (s->in == n->in[0])
            return "its input is a state";
    if (n != g->first || !n->region || n->region->parent || n->walk[0] < 0 ||
        !graph_band(g, &b))
        return "it is the first step, in a loop that goes along its input";
    if (value_natural_store(b.value) != n->region)
        return "what it receives is read behind the loop too";
    if (dtype_bits(b.value->type.dt) < 8)
        return "elements of less than a byte cannot come in bands";
    return slide_refusal(&b);
}

bool bands_verify(Graph *g)
{
    const char *why = band_refusal(g);

    return !why || node_error(receiver(g), "%s", why);
}
