/* dims.c - symbolic dimensions. Exporters write sums and products as the
 * name of a dimension ("past_length + 1", "2*s0", "(s1 - 1)//2 + 1"): such a
 * name has a value when its parts have. The grammar:
 *
 *     sum  = term { ("+" | "-") term }
 *     term = atom { ("*" | "//" | "/") atom }      "/" must be exact
 *     atom = number | name | "(" sum ")" | "floor" "(" sum ")"
 */
#include "build.h"

#include <ctype.h>
#include <string.h>

enum { MAX_PARENS = 16 };

typedef struct Parse {
    Build *b;
    const char *p;
    int parens;
    bool bad;                   /* not of this grammar */
    bool open;                  /* a name without a value */
    bool collect;               /* register the names */
} Parse;

static int64_t parse_sum(Parse *p);

static void skip_space(Parse *p)
{
    while (*p->p == ' ')
        p->p++;
}

static bool accept(Parse *p, const char *token)
{
    size_t n = strlen(token);

    skip_space(p);
    if (strncmp(p->p, token, n))
        return false;
    p->p += n;
    return true;
}

static int64_t parse_parens(Parse *p)
{
    int64_t v;

    if (++p->parens > MAX_PARENS) {
        p->bad = true;
        return 0;
    }
    v = parse_sum(p);
    p->bad = p->bad || !accept(p, ")");
    p->parens--;
    return v;
}

static int64_t parse_number(Parse *p)
{
    int64_t v = 0;

    for (; isdigit((unsigned char)*p->p); p->p++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, *p->p - '0', &v))
            p->bad = true;
    return v;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

static int64_t parse_name(Parse *p)
{
    size_t n = 0;
    const char *name;
    Symbol *s;

    while (is_name(p->p[n]))
        n++;
    if (!n) {
        p->bad = true;
        return 0;
    }
    name = arena_strndup(p->b->g->arena, p->p, n);
    p->p += n;
    if (!strcmp(name, "floor") && accept(p, "("))
        return parse_parens(p);
    s = p->collect ? symbol_get(p->b, name) : map_get(&p->b->symbol, name);
    if (!s || s->value < 0) {
        p->open = true;
        return 0;
    }
    return s->value;
}

static int64_t parse_atom(Parse *p)
{
    skip_space(p);
    if (accept(p, "("))
        return parse_parens(p);
    if (isdigit((unsigned char)*p->p))
        return parse_number(p);
    return parse_name(p);
}

static int64_t divide(Parse *p, int64_t a, int64_t d, bool exact)
{
    if (d <= 0 || (exact && a % d)) {
        p->open = true;
        return 0;
    }
    return a / d - (a % d < 0);
}

static int64_t parse_term(Parse *p)
{
    int64_t v = parse_atom(p);

    while (!p->bad) {
        if (accept(p, "*"))
            p->bad |= __builtin_mul_overflow(v, parse_atom(p), &v);
        else if (accept(p, "//"))
            v = divide(p, v, parse_atom(p), false);
        else if (accept(p, "/"))
            v = divide(p, v, parse_atom(p), !p->parens);
        else
            break;
    }
    return v;
}

static int64_t parse_sum(Parse *p)
{
    int64_t v = parse_term(p);

    while (!p->bad) {
        if (accept(p, "+"))
            p->bad |= __builtin_add_overflow(v, parse_term(p), &v);
        else if (accept(p, "-"))
            p->bad |= __builtin_sub_overflow(v, parse_term(p), &v);
        else
            break;
    }
    return v;
}

static int64_t parse_all(Parse *p)
{
    int64_t v = parse_sum(p);

    skip_space(p);
    p->bad = p->bad || *p->p;
    return v;
}

Symbol *symbol_get(Build *b, const char *name)
{
    Symbol *s = map_get(&b->symbol, name);

    if (!s) {
        s = NEW(b->g->arena, Symbol);
        s->name = name;
        s->value = -1;
        s->next = b->symbols;
        b->symbols = s;
        map_put(&b->symbol, name, s);
    }
    return s;
}

void symbol_collect(Build *b, const char *name)
{
    Parse try = { .b = b, .p = name }, p = { .b = b, .p = name };

    symbol_get(b, name);
    parse_all(&try);
    p.collect = true;
    if (!try.bad)
        parse_all(&p);
}

int64_t symbol_value(Build *b, const char *name)
{
    const Symbol *s = map_get(&b->symbol, name);
    Parse p = { .b = b, .p = name };
    int64_t v;

    if (s && s->value >= 0)
        return s->value;
    if (!strpbrk(name, "+-*/( "))
        return -1;
    v = parse_all(&p);
    return p.bad || p.open || v < 0 ? -1 : v;
}
