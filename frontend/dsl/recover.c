/* recover.c - where to go on after a syntax error, so that one run reports
 * more than one: at a line that looks like the beginning of a node, and in a
 * header or a signature at what looks like its next entry. Everything in
 * between is left out, and a RESYNC handed over in its place. */
#include "text.h"

#include "text_parse.h"

typedef enum Part { NODES, HEADER, ATTRS, PARAMS, INFOS, BETWEEN } Part;

/* The part of the unit behind token k, which is in `part`; parens: open ones
 * in a list of parameters. */
static Part next_part(const Token *k, const Token *before, Part part,
                      int *parens, bool *params)
{
    if (k->kind == ARROW)
        return *params = true, BETWEEN;
    if (k->kind == '(' || k->kind == QUANT) {
        if (part == PARAMS || part == INFOS)
            ++*parens;
        else
            *parens = 0;
        return part == INFOS ? INFOS : PARAMS;
    }
    if (k->kind == ')' && part == PARAMS)
        return --*parens < 0 ? BETWEEN : PARAMS;
    if (k->kind == '<' && part == BETWEEN)
        return *params ? INFOS
                       : before->kind == IDENT || before->kind == STRING
                             ? ATTRS : HEADER;
    if (k->kind == '>' && part != PARAMS)
        return BETWEEN;
    return part;
}

/* Which part is the token at `end` in? Brackets may be missing: what only
 * one part can have decides. */
static Part part_of(const Text *t, int end)
{
    Part part = BETWEEN;
    bool params = false;
    int parens = 0;

    if (t->depth)
        return NODES;
    for (int i = t->unit; i < end; i++)
        part = next_part(tok(t, i), tok(t, i > t->unit ? i - 1 : i), part,
                         &parens, &params);
    return part;
}

void stream_recover(Text *t)
{
    t->recover = true;
    for (int i = 0; i < t->nloop; i++)          /* say it once */
        t->loop[i].last = t->loop[i].i;
}

static bool begins_line(const Token *k)
{
    return k->first && (k->kind == IDENT || k->kind == STRING ||
                        k->kind == TYPE || k->kind == CONTAINER ||
                        k->kind == '[' || k->kind == '}' || k->kind == '>');
}

/* An entry of a list: behind a comma, or the comma is what was missing. */
static bool begins_entry(const Text *t, int i)
{
    return tok(t, i)->first || i == t->last ||
           tok(t, i ? i - 1 : 0)->kind == ',';
}

static bool begins_type(const Text *t, int i)
{
    const Token *k = tok(t, i);

    return (k->kind == TYPE || k->kind == CONTAINER) && begins_entry(t, i);
}

static bool is_promising(const Text *t, Part part, int i)
{
    const Token *k = tok(t, i), *next = tok(t, i + 1);
    const Token *before = tok(t, i ? i - 1 : 0);

    if (t->nloop && i == t->loop[t->nloop - 1].end)
        return true;
    switch (part) {
    case NODES:
        return begins_line(k);
    case HEADER:
        return (k->kind == IDENT && next->kind == ':' &&
                begins_entry(t, i)) ||
               (k->kind == '>' && (next->kind == IDENT ||
                                   next->kind == STRING));
    case PARAMS:
        return begins_type(t, i) ||
               (k->kind == ')' && (next->kind == ARROW || next->kind == '<' ||
                                   next->kind == '{'));
    case INFOS:
        return begins_type(t, i) ||
               (k->kind == '>' && next->kind == '{');
    case ATTRS: case BETWEEN:
        return k->kind == '{' && (k->first || before->kind == ')' ||
                                  before->kind == '>');
    }
    return false;
}

int stream_resync(Text *t, Span *at)
{
    Part part = part_of(t, t->last);
    bool line = part == NODES;
    int i = t->pos;

    t->recover = false;         /* perhaps at the offending token itself */
    if (t->last < t->pos && (!line || tok(t, t->last)->first) &&
        t->last != t->resynced)
        i = t->last;
    while (tok(t, i)->kind != END && !is_promising(t, part, i))
        i++;
    while (t->nloop && i > t->loop[t->nloop - 1].end)
        t->nloop--;
    t->pos = t->resynced = i;
    *at = (Span){ tok(t, i)->start, tok(t, i)->start };
    return tok(t, i)->kind == END ? END : RESYNC;
}
