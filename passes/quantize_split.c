/* quantize_split.c - weights that leave int8 once their zero point is taken
 * out, as uint8 codes of -130 to 125 do: w = u + v, both int8, and the input
 * channel is read twice, once for each. Channels with such weights are
 * repeated behind the others of their group; sums are the same in every bit.
 */
#include <string.h>

#include "quantize.h"

/* How many int8 add up to it? */
static int64_t parts(int64_t code)
{
    int64_t n = 1;

    while (code < -128 * n || code > 127 * n)
        n++;
    return n;
}

/* Weights [group][rows][channels][taps]: of a channel of a group, the most
 * parts that a weight has. */
static int64_t channel_parts(const Weights *w, const Channels *c,
                             int64_t group, int64_t ch)
{
    int64_t rows = w->rows / c->group, most = 1;

    for (int64_t r = group * rows; r < (group + 1) * rows; r++)
        for (int64_t t = 0; t < c->taps; t++) {
            int64_t p = parts(w->wide[(r * c->channels + ch) * c->taps + t]);
            most = p > most ? p : most;
        }
    return most;
}

static int8_t part(int64_t code, int64_t k)
{
    for (; k > 0; k--)
        code -= code < -128 ? -128 : code > 127 ? 127 : code;
    return (int8_t)(code < -128 ? -128 : code > 127 ? 127 : code);
}

/* Part k of channel ch of every row of the group becomes channel `to`. */
static void put_part(const Weights *w, const Channels *c, int64_t group,
                     int64_t ch, int64_t k, int64_t to, int8_t *code)
{
    int64_t rows = w->rows / c->group;

    for (int64_t r = group * rows; r < (group + 1) * rows; r++)
        for (int64_t t = 0; t < c->taps; t++)
            code[(r * c->wide + to) * c->taps + t] =
                part(w->wide[(r * c->channels + ch) * c->taps + t], k);
}

/* Channels of one group: first all of them once, then what is repeated; the
 * rest, where other groups have more, is channel 0 with weights of 0. */
static int64_t split_group(const Weights *w, const Channels *c, int64_t group,
                           int64_t *from, int8_t *code)
{
    int64_t to = 0;

    for (int64_t ch = 0; ch < c->channels; ch++, to++)
        if (code) {
            from[group * c->wide + to] = group * c->channels + ch;
            put_part(w, c, group, ch, 0, to, code);
        }
    for (int64_t ch = 0; ch < c->channels; ch++)
        for (int64_t k = 1; k < channel_parts(w, c, group, ch); k++, to++)
            if (code) {
                from[group * c->wide + to] = group * c->channels + ch;
                put_part(w, c, group, ch, k, to, code);
            }
    for (; code && to < c->wide; to++)
        from[group * c->wide + to] = group * c->channels;
    return to;
}

bool weights_split(Site *s, Weights *w, Channels *c)
{
    int64_t *from;
    int8_t *code;

    c->wide = c->channels;
    if (!w->wide)
        return true;
    if (w->groups > 1)
        return site_no(s, "its weights less their zero points leave int8 and "
                       "have several scales per channel");
    for (int64_t g = 0; g < c->group; g++) {
        int64_t n = split_group(w, c, g, NULL, NULL);
        c->wide = n > c->wide ? n : c->wide;
    }
    w->cols = c->wide * c->taps;
    code = NEW_ARRAY(s->g->arena, int8_t, w->rows * w->cols);
    from = NEW_ARRAY(s->g->arena, int64_t, c->group * c->wide);
    for (int64_t g = 0; g < c->group; g++)
        split_group(w, c, g, from, code);
    w->code = code;
    c->from = from;
    return true;
}

Value *split_input(Site *s, Value *x, const Channels *c, const char *name)
{
    Type t = x->type;
    Value *in[2] = { x, NULL };
    Node *n;

    if (!c->from)
        return x;
    in[1] = graph_const_ints(s->g, "channels", (int)(c->group * c->wide),
                             c->from);
    t.dim[t.rank - 1] = c->group * c->wide;
    n = insert_op(s->g, s->q, OP_Gather, name, 2, in, t);
    set_int(n, "axis", t.rank - 1);
    return n->out[0];
}
