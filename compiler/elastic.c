/* elastic.c - --elastic: reads what it asks for and has compress/ cut the
 * model's nested feed-forward layers. Each use of the option says one thing:
 * ffn=, list=, csv=, mixnmatch=, skip=, heads=, runtime=.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../support/file.h"
#include "compile.h"

enum { CSV_BYTES = 1 << 20 };

typedef struct Parse {
    Compile *c;
    ElasticOptions *o;
    int cap;
} Parse;

static bool bad(Compile *c, const char *spec, const char *what)
{
    diag_error(c->diag, "--elastic %s: %s", spec, what);
    diag_hint(c->diag, "ffn=0.5, list=2,2,4,4, csv=FILE:NAME, "
              "mixnmatch=MACS, skip=3,4, heads=2, runtime=0.25,0.5,1");
    return false;
}

static bool parse_share(Parse *p, const char *spec, const char *s)
{
    char *end;

    p->o->ffn = strtod(s, &end);
    if (end == s || *end || !(p->o->ffn > 0 && p->o->ffn <= 1))
        return bad(p->c, spec, "a share above 0 and up to 1 is expected");
    return true;
}

/* Hidden neurons per layer as multiples of its features. */
static bool parse_ratios(Parse *p, const char *spec, const char *s)
{
    for (;;) {
        char *end;
        double x = strtod(s, &end);
        if (end == s || !(x > 0 && x < 1e6) || (*end && *end != ','))
            return bad(p->c, spec, "numbers with commas are expected, hidden "
                       "neurons per layer over its features");
        PUSH(p->c->arena, p->o->ratio, p->o->nratio, p->cap, x);
        if (!*end)
            return true;
        s = end + 1;
    }
}

static bool parse_levels(Parse *p, const char *spec, const char *s)
{
    for (int cap = 0;;) {
        char *end;
        double x = strtod(s, &end);
        if (end == s || (*end && *end != ','))
            return bad(p->c, spec, "shares with commas are expected");
        if (!(x > 0 && x <= 1))
            return bad(p->c, spec, "a share is above 0 and up to 1");
        if (p->o->nlevel && x <= p->o->level[p->o->nlevel - 1])
            return bad(p->c, spec, "each share is larger than the one before");
        PUSH(p->c->arena, p->o->level, p->o->nlevel, cap, x);
        if (!*end)
            break;
        s = end + 1;
    }
    if (p->o->nlevel < 2 || p->o->nlevel > MAX_WIDTHS)
        return bad(p->c, spec, "2 to 64 widths can be chosen from; one is "
                   "ffn=");
    return true;
}

static bool parse_heads(Parse *p, const char *spec, const char *s)
{
    for (int cap = 0;;) {
        char *end;
        int64_t x = strtol(s, &end, 10);
        if (end == s || x < 1 || x > 100000 || (*end && *end != ','))
            return bad(p->c, spec, "numbers of heads from 1 with commas are "
                       "expected, one or one per attention layer");
        PUSH(p->c->arena, p->o->heads, p->o->nheads, cap, x);
        if (!*end)
            return true;
        s = end + 1;
    }
}

static bool parse_skips(Parse *p, const char *spec, const char *s)
{
    for (int cap = 0;;) {
        char *end;
        long x = strtol(s, &end, 10);
        if (end == s || x < 0 || x > 100000 || (*end && *end != ','))
            return bad(p->c, spec, "layer numbers from 0 with commas are "
                       "expected");
        int layer = (int)x;
        PUSH(p->c->arena, p->o->skip, p->o->nskip, cap, layer);
        if (!*end)
            return true;
        s = end + 1;
    }
}

static bool parse_budget(Parse *p, const char *spec, const char *s)
{
    char *end;
    double x = strtod(s, &end);

    if (*end == 'K' || *end == 'k')
        x *= 1e3, end++;
    else if (*end == 'M')
        x *= 1e6, end++;
    else if (*end == 'G')
        x *= 1e9, end++;
    p->o->budget = x;
    if (end == s || *end || !(x > 0))
        return bad(p->c, spec, "a number of MACs (12M), or up to 1 a share "
                   "of the model's, is expected");
    return true;
}

/* The next field of a CSV line: quotes may hold commas, "" is a quote. */
static char *next_field(char **at, Arena *arena)
{
    char *s = *at, *out = arena_alloc(arena, strlen(s) + 1), *q = out;

    if (*s == '"') {
        for (s++; *s && !(*s == '"' && s[1] != '"'); s++) {
            s += *s == '"';
            *q++ = *s;
        }
        s += *s == '"';
    }
    while (*s && *s != ',' && *s != '\n' && *s != '\r')
        *q++ = *s++;
    *q = 0;
    *at = *s == ',' ? s + 1 : s;
    return out;
}

/* [2_048 * 4, 2_048 * 4, ...]: products of integers; brackets may go. */
static bool parse_widths(Parse *p, const char *file, const char *s)
{
    while (*s) {
        int64_t x = 1;
        bool factor = true;
        while (*s && strchr("[ ,]", *s))
            s++;
        if (!*s)
            break;
        while (factor) {
            int64_t v = 0;
            while (*s == ' ')
                s++;
            if (!isdigit((unsigned char)*s))
                return bad(p->c, file, "a list of hidden sizes is expected "
                           "in the column 'FFN Hidden Dims'");
            for (; isdigit((unsigned char)*s) || *s == '_'; s++)
                if (*s != '_' && v < 1 << 28)
                    v = v * 10 + (*s - '0');
            x = x < 1 << 28 && v < 1 << 28 ? x * v : INT32_MAX;
            while (*s == ' ')
                s++;
            factor = *s == '*';
            s += factor;
        }
        PUSH(p->c->arena, p->o->width, p->o->nwidth, p->cap, x);
    }
    return p->o->nwidth || bad(p->c, file, "no hidden sizes in that row");
}

static bool csv_row(Parse *p, const char *file, char *line, const int *column)
{
    char *skip = NULL, *dims = NULL;

    for (int i = 0; *line && *line != '\n' && *line != '\r'; i++) {
        char *f = next_field(&line, p->c->arena);
        if (i == column[1])
            dims = f;
        if (i == column[2])
            skip = f;
    }
    if (!dims || !parse_widths(p, file, dims))
        return dims != NULL || bad(p->c, file, "that row has no hidden sizes");
    while (skip && *skip && strchr("[ ", *skip))
        skip++;
    if (skip && strcspn(skip, "]"))
        skip[strcspn(skip, "]")] = 0;
    for (char *s = skip, *q = skip; s; s++) {
        if (*s != ' ')
            *q++ = *s;
        if (!*s)
            break;
    }
    return !skip || !isdigit((unsigned char)*skip) ||
           parse_skips(p, file, skip);
}

/* Columns as in Gemma 3n's slicing configurations: `name`, `FFN Hidden Dims`,
 * `Layers Skipped`; others are not looked at. */
static bool parse_csv(Parse *p, const char *spec, const char *s)
{
    static const char *const titles[] = { "name", "FFN Hidden Dims",
                                          "Layers Skipped" };
    const char *colon = strrchr(s, ':');
    int column[3] = { -1, -1, -1 };
    const char *file, *name;
    FileBytes bytes;
    char *text, *line;

    if (!colon || !colon[1])
        return bad(p->c, spec, "csv=FILE:NAME is expected, the NAME of a row");
    file = arena_strndup(p->c->arena, s, (size_t)(colon - s));
    name = colon + 1;
    if (!file_read(file, CSV_BYTES, p->c->arena, p->c->diag, &bytes))
        return false;
    text = arena_strndup(p->c->arena, (const char *)bytes.data, bytes.n);
    line = text;
    for (int i = 0; *line && *line != '\n' && *line != '\r'; i++) {
        const char *f = next_field(&line, p->c->arena);
        for (int k = 0; k < 3; k++)
            if (!strcmp(f, titles[k]))
                column[k] = i;
    }
    if (column[0] < 0 || column[1] < 0)
        return bad(p->c, spec, "its first line has no columns 'name' and 'FFN "
                   "Hidden Dims'");
    while ((line = strchr(line, '\n')) && *++line) {
        char *at = line, *f = NULL;
        for (int i = 0; i <= column[0]; i++)
            f = next_field(&at, p->c->arena);
        if (!strcmp(f, name))
            return csv_row(p, spec, line, column);
    }
    return bad(p->c, spec, "it has no such row");
}

static bool parse_one(Parse *p, const char *spec)
{
    static const struct {
        const char *key;
        bool (*parse)(Parse *p, const char *spec, const char *s);
    } forms[] = {
        { "ffn=", parse_share }, { "list=", parse_ratios },
        { "csv=", parse_csv }, { "mixnmatch=", parse_budget },
        { "skip=", parse_skips }, { "runtime=", parse_levels },
        { "heads=", parse_heads },
    };

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!strncmp(spec, forms[i].key, strlen(forms[i].key)))
            return forms[i].parse(p, spec, spec + strlen(forms[i].key));
    return bad(p->c, spec, "not understood");
}

bool elastic_apply(Compile *c, Graph *g)
{
    ElasticOptions *o = NEW(c->arena, ElasticOptions);
    Parse p = { c, o, 0 };
    int widths;

    if (!c->opt->elastic.n)
        return true;
    for (int i = 0; i < c->opt->elastic.n; i++)
        if (!parse_one(&p, c->opt->elastic.v[i]))
            return false;
    widths = (o->ffn > 0) + (o->ratio != NULL) + (o->width != NULL) +
             (o->budget > 0) + (o->level != NULL);
    if (widths > 1)
        return diag_error(c->diag, "--elastic: ffn=, list=, csv=, mixnmatch= "
                          "and runtime= each choose all widths: one of them");
    if (o->level && c->opt->low_rank && strcmp(c->opt->low_rank, "off"))
        return diag_error(c->diag, "--elastic runtime=: --low-rank would "
                          "split the layers whose width is to be chosen");
    if (o->level && g->nlevel)
        return diag_error(c->diag, "--elastic runtime=: this text has widths "
                          "to choose from already");
    o->only_heads = o->nheads && !widths && !o->nskip;
    if (!elastic_slice(g, o, &c->elastic))
        return false;
    for (int i = 0; i < c->elastic.n; i++)
        o->nlayer += !c->elastic.layer[i].skipped;
    c->levels = o->level ? o : NULL;
    return true;
}

Graph *elastic_runtime(Compile *c, Graph *g)
{
    if (!g || !c->levels)
        return g;
    return elastic_widths(g, c->levels, &c->elastic) ? g : NULL;
}

/* --width 2, or one level per layer. */
bool width_apply(Compile *c, const Graph *g)
{
    const char *s = c->opt->width;
    int *level, n = 0;

    if (!s)
        return true;
    if (!g->nlevel)
        return diag_error(c->diag, "--width: this model has no widths to "
                          "choose from (--elastic runtime=)");
    level = NEW_ARRAY(c->arena, int, g->nlayer + 1);
    for (;; s++) {
        char *end;
        long x = strtol(s, &end, 10);
        if (end == s || x < 0 || x >= g->nlevel || (*end && *end != ','))
            return diag_error(c->diag, "--width %s: levels from 0 to %d are "
                              "expected, one or one per layer",
                              c->opt->width, g->nlevel - 1);
        if (n < g->nlayer)
            level[n] = (int)x;
        n++;
        s = end;
        if (!*s)
            break;
    }
    for (int i = n; n == 1 && i < g->nlayer; i++)
        level[i] = level[0];
    if (n != 1 && n != g->nlayer)
        return diag_error(c->diag, "--width has %d levels, the model has %d "
                          "layers", n, g->nlayer);
    c->width = level;
    return true;
}
