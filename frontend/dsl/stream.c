/* stream.c - hands the tokens to the grammar. What is not syntax of a model
 * happens here: `const N = 4` defines a number, `repeat i = 0..11 { ... }`
 * hands out its body again and again, arithmetic becomes one number. After a
 * syntax error recover.c says where to go on. */
#include "text.h"

#include <string.h>

#include "text_parse.h"

static bool is_word(const Text *t, int i, const char *word)
{
    const Token *k = tok(t, i);
    size_t n = strlen(word);

    return k->kind == IDENT && token_end(t, k) - k->start == n &&
           !memcmp(t->s + k->start, word, n);
}

const Number *constant_find(Text *t, const char *name, size_t n)
{
    const Literal *l;

    for (int i = t->nloop - 1; i >= 0; i--)
        if (strlen(t->loop[i].var) == n && !memcmp(t->loop[i].var, name, n)) {
            Number *x = NEW(t->scratch, Number);
            int64_t v = t->loop[i].i;
            *x = (Number){ .kind = NUMBER_INT, .exact = true, .neg = v < 0,
                           .digits = v < 0 ? 0 - (uint64_t)v : (uint64_t)v };
            return x;
        }
    if (!t->constant.n)
        return NULL;
    l = map_get(&t->constant, arena_strndup(t->scratch, name, n));
    return l ? &l->num : NULL;
}

/* The first token at or behind s. */
static void go_to(Text *t, const char *s)
{
    uint32_t at = (uint32_t)(s - t->s);

    while (tok(t, t->pos)->kind != END && tok(t, t->pos)->start < at)
        t->pos++;
}

static bool define_constant(Text *t)
{
    const Token *name = tok(t, t->pos + 1);
    const char *s = t->s + token_end(t, tok(t, t->pos + 2));
    Literal *l = NEW(t->scratch, Literal);

    if (!expr_eval(t, &s, t->s + t->n, &l->num))
        return false;
    map_put(&t->constant, arena_strndup(t->scratch, t->s + name->start,
                                        token_end(t, name) - name->start),
            l);
    go_to(t, s);
    return true;
}

static const char *skip_blank(const Text *t, const char *s)
{
    while (s < t->s + t->n && strchr(" \t\r\n", *s) && *s)
        s++;
    return s;
}

static bool charge(Text *t, Span at, int64_t tokens)
{
    t->repeated += tokens;
    if (t->repeated <= MAX_REPEATED)
        return true;
    text_error(t, at, "repeats make more than %d tokens", MAX_REPEATED);
    t->fatal = true;
    return false;
}

/* The brace that closes the one at token i; 0 when there is none. */
static int closing(const Text *t, int i)
{
    int depth = 0;

    for (; tok(t, i)->kind != END; i++) {
        depth += (tok(t, i)->kind == '{') - (tok(t, i)->kind == '}');
        if (!depth)
            return i;
    }
    return 0;
}

static bool loop_bounds(Text *t, Loop *l)
{
    const char *s = t->s + token_end(t, tok(t, t->pos + 2)), *end = t->s + t->n;
    Span at = token_span(t, tok(t, t->pos));
    Number first, last;

    if (!expr_eval(t, &s, end, &first))
        return false;
    s = skip_blank(t, s);
    if (s[0] != '.' || s[1] != '.') {
        text_error(t, at, "repeat takes a range");
        text_hint(t, "repeat i = 0..11 { ... }");
        return false;
    }
    s += 2;
    if (!expr_eval(t, &s, end, &last))
        return false;
    if (!number_i64(&first, &l->i) || !number_i64(&last, &l->last))
        return text_error(t, at, "the range of repeat is not of integers");
    go_to(t, s);
    return true;
}

static bool start_loop(Text *t)
{
    const Token *var = tok(t, t->pos + 1);
    Span at = token_span(t, tok(t, t->pos));
    Loop l;

    l.var = arena_strndup(t->scratch, t->s + var->start,
                          token_end(t, var) - var->start);
    if (t->nloop == MAX_LOOPS)
        return text_error(t, at, "repeats nested more than %d deep",
                          MAX_LOOPS);
    if (!loop_bounds(t, &l))
        return false;
    if (tok(t, t->pos)->kind != '{')
        return text_error(t, token_span(t, tok(t, t->pos)),
                          "expected '{' after the range of repeat");
    l.first = t->pos + 1;
    l.end = closing(t, t->pos);
    if (!l.end)
        return text_error(t, at, "the braces of this repeat are not closed");
    if (!charge(t, at, t->nloop ? l.end - t->pos + 1 : 1))
        return false;
    t->pos = l.first;
    if (l.i > l.last)
        t->pos = l.end + 1;
    else
        t->loop[t->nloop++] = l;
    return true;
}

/* At the end of a loop's body: again, or on behind it. */
static void next_turn(Text *t)
{
    Loop *l = &t->loop[t->nloop - 1];

    if (l->i < l->last && !t->fatal) {
        l->i++;
        t->pos = l->first;
        charge(t, token_span(t, tok(t, l->end)), 1);
    } else {
        t->pos = l->end + 1;
        t->nloop--;
    }
}

static bool is_operator(const Text *t, const Token *k)
{
    switch (k->kind) {
    case '+': case '-': case '*': case '/': case '%': return true;
    case INT: case FLOAT: return t->s[k->start] == '-';
    default: return false;
    }
}

static int take_expression(Text *t, Span *at)
{
    const char *s = t->s + tok(t, t->pos)->start;

    at->start = tok(t, t->pos)->start;
    if (!expr_eval(t, &s, t->s + t->n, &t->value)) {
        t->fatal = true;
        return END;
    }
    at->end = (uint32_t)(s - t->s);
    go_to(t, s);
    t->last = t->pos - 1;
    t->computed = true;
    return t->value.kind == NUMBER_INT ? INT : FLOAT;
}

/* `region NAME @`: nowhere else do two names stand like this */
static bool is_region(const Text *t, int i)
{
    if (!is_word(t, i, "region") || tok(t, i + 1)->kind == END ||
        tok(t, i + 2)->kind != '@')
        return false;
    return tok(t, i + 1)->kind == IDENT || tok(t, i + 1)->kind == STRING;
}

int stream_next(Text *t, Span *at)
{
    t->computed = false;
    if (t->recover)
        return stream_resync(t, at);
    for (;;) {
        const Token *k = tok(t, t->pos);
        const Token *next = tok(t, t->pos + 1);
        bool word = k->kind == IDENT && next->kind == IDENT &&
                    tok(t, t->pos + 2)->kind == '=';
        if (t->fatal)
            return *at = token_span(t, k), END;
        if (t->nloop && t->pos == t->loop[t->nloop - 1].end) {
            next_turn(t);
        } else if (word && is_word(t, t->pos, "repeat")) {
            t->fatal = !start_loop(t) || t->fatal;
        } else if (word && is_word(t, t->pos, "const")) {
            t->fatal = !define_constant(t);
        } else if ((k->kind == IDENT || k->kind == INT ||
                    k->kind == FLOAT) && is_operator(t, next)) {
            return take_expression(t, at);
        } else {
            *at = token_span(t, k);
            if (t->nloop)
                charge(t, *at, 1 + (int64_t)(at->end - at->start) / 16);
            t->last = t->pos;
            t->pos += k->kind != END;
            return is_region(t, t->last) ? REGION : k->kind;
        }
    }
}
