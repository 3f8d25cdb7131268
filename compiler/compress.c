/* compress.c - --elastic and --low-rank: what they ask for is read and
 * compress/ changes the network, before quantization. Everything after it takes
 * the result for the model.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/file.h"
#include "samples.h"

enum { LIST_BYTES = 1 << 20 };

static bool bad_spec(Compile *c)
{
    return diag_error(c->diag, "--low-rank takes off, auto, energy=E with 0 < "
                      "E < 1, rank=R, or a file of `layer rank` lines, not "
                      "'%s'", c->opt->low_rank);
}

/* `name rank` lines, a rank at the end since names may have blanks; # begins
 * a comment, behind a rank too. */
static bool read_line(Compile *c, LowRankOptions *o, int *cap, char *s,
                      int line)
{
    char *hash = strstr(s, " #"), *end, *digits, *stop;
    LayerRank e = { .line = line };

    if (hash)
        *hash = 0;
    end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1]))
        *--end = 0;
    while (isspace((unsigned char)*s))
        s++;
    if (!*s || *s == '#')
        return true;
    for (digits = end; digits > s && !isspace((unsigned char)digits[-1]);)
        digits--;
    e.rank = strtoll(digits, &stop, 10);
    if (digits == s || *stop || e.rank < 1)
        return diag_error(c->diag, "%s:%d: a layer's name and its rank are "
                          "expected, not '%s'", o->file, line, s);
    while (digits > s && isspace((unsigned char)digits[-1]))
        *--digits = 0;
    for (int i = 0; i < o->nlist; i++)
        if (!strcmp(o->list[i].name, s))
            return diag_error(c->diag, "%s:%d: layer '%s' stands in line %d "
                              "already", o->file, line, s, o->list[i].line);
    e.name = s;
    PUSH(c->arena, o->list, o->nlist, *cap, e);
    return true;
}

static bool read_list(Compile *c, LowRankOptions *o)
{
    char *text, *next;
    FileBytes bytes;
    int cap = 0;

    if (!file_read(c->opt->low_rank, LIST_BYTES, c->arena, c->diag, &bytes))
        return false;
    o->file = c->opt->low_rank;
    text = arena_strndup(c->arena, (const char *)bytes.data, bytes.n);
    for (int line = 1; text; line++, text = next) {
        next = strchr(text, '\n');
        if (next)
            *next++ = 0;
        if (!read_line(c, o, &cap, text, line))
            return false;
    }
    return o->nlist || diag_error(c->diag, "%s: no layer in it", o->file);
}

static bool parse_low_rank(Compile *c, LowRankOptions *o)
{
    const char *s = c->opt->low_rank;
    char *end;

    if (!*s)
        return bad_spec(c);
    if (!strcmp(s, "auto")) {
        o->mode = LOW_RANK_AUTO;
    } else if (!strncmp(s, "energy=", 7)) {
        o->mode = LOW_RANK_ENERGY;
        o->energy = strtod(s + 7, &end);
        if (!s[7] || *end || !(o->energy > 0 && o->energy < 1))
            return bad_spec(c);
    } else if (!strncmp(s, "rank=", 5)) {
        o->mode = LOW_RANK_RANK;
        o->rank = strtoll(s + 5, &end, 10);
        if (!s[5] || *end || o->rank < 1)
            return bad_spec(c);
    } else if (strcmp(s, "off")) {
        o->mode = LOW_RANK_LIST;
        return read_list(c, o);
    }
    return true;
}

static bool split_layers(Compile *c, Graph *g)
{
    LowRankOptions o = { .mode = LOW_RANK_OFF };
    Samples samples = { 0 };
    const Tensor **list;

    if (!parse_low_rank(c, &o))
        return false;
    if (o.mode == LOW_RANK_OFF)
        return true;
    if (c->opt->calib && !calibration_load(c, g, &samples))
        return false;
    list = NEW_ARRAY(c->arena, const Tensor *, samples.n);
    for (int k = 0; k < samples.n; k++)
        list[k] = samples.list[k].in;
    o.nsample = samples.n;
    o.sample = list;
    return low_rank_split(g, &o, &c->low_rank);
}

Graph *compress_graph(Compile *c, Graph *g)
{
    if (c->compressed)
        return graph_clone(c->compressed);
    if (!c->opt->low_rank && !c->opt->elastic.n)
        return g;
    if (!elastic_apply(c, g) || (c->opt->low_rank && !split_layers(c, g)))
        return NULL;
    c->compressed = graph_clone(g);
    return g;
}

void compress_report(Compile *c, ReportInfo *info)
{
    Buf text, json;

    if (c->low_rank.n) {
        buf_init(&text, c->arena);
        buf_init(&json, c->arena);
        low_rank_text(&text, &c->low_rank);
        low_rank_json(&json, &c->low_rank);
        info->low_rank = text.s;
        info->low_rank_json = json.s;
    }
    if (c->elastic.n) {
        buf_init(&text, c->arena);
        buf_init(&json, c->arena);
        elastic_text(&text, &c->elastic);
        elastic_json(&json, &c->elastic);
        info->elastic = text.s;
        info->elastic_json = json.s;
    }
}
