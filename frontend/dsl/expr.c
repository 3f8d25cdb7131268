/* expr.c - arithmetic on constants: + - * / % and parentheses, integers as
 * long as both sides are (then / rounds toward zero). It works on the text
 * itself, because ${...} inside of names needs it too. */
#include "text.h"

#include <math.h>
#include <string.h>

enum { MAX_PARENS = 64 };

typedef struct Expr {
    Text *t;
    const char *s, *end;
    int depth;
    bool failed;
} Expr;

typedef struct Num { bool is_int; int64_t i; double d; } Num;

static Num sum(Expr *e);

static Num fail(Expr *e, const char *s, const char *what)
{
    uint32_t at = (uint32_t)(s - e->t->s);

    if (!e->failed && s >= e->t->s && s <= e->t->s + e->t->n)
        text_error(e->t, (Span){ at, at + 1 }, "%s", what);
    else if (!e->failed)
        text_error(e->t, (Span){ 0, 0 }, "%s", what);
    e->failed = true;
    return (Num){ true, 0, 0 };
}

static void skip(Expr *e)
{
    while (e->s < e->end && (*e->s == ' ' || *e->s == '\t' ||
                             *e->s == '\r' || *e->s == '\n'))
        e->s++;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static Num from_number(const Number *x)
{
    Num n = { true, 0, 0 };

    n.is_int = number_i64(x, &n.i);
    n.d = n.is_int ? (double)n.i : number_f64(x);
    return n;
}

static Num named(Expr *e)
{
    const char *s = e->s;
    const Number *x;

    while (e->s < e->end && (is_letter(*e->s) ||
                             (*e->s >= '0' && *e->s <= '9')))
        e->s++;
    x = constant_find(e->t, s, (size_t)(e->s - s));
    if (x)
        return from_number(x);
    return fail(e, s, arena_printf(e->t->scratch, "'%.*s' is no constant",
                                   (int)(e->s - s > 40 ? 40 : e->s - s), s));
}

static Num literal(Expr *e)
{
    const char *s = e->s, *stop = s;
    Number x;
    size_t n;

    while (stop < e->end && *stop >= '0' && *stop <= '9')
        stop++;
    if (e->end - stop < 2 || stop[0] != '.' || stop[1] != '.')
        stop = e->end;          /* 0..11 is no number 0. */
    n = number_scan(s, stop, &x);
    if (!n)
        return fail(e, s, "expected a number or the name of a constant");
    e->s += n;
    return from_number(&x);
}

static Num atom(Expr *e)
{
    Num n;

    skip(e);
    if (e->s < e->end && *e->s == '-') {
        e->s++;
        if (e->depth++ > MAX_PARENS)
            return fail(e, e->s, "an expression nested too deeply");
        n = atom(e);
        e->depth--;
        if (n.i == INT64_MIN)
            return fail(e, e->s, "an integer that is too large");
        return (Num){ n.is_int, -n.i, -n.d };
    }
    if (e->s >= e->end || *e->s != '(')
        return e->s < e->end && is_letter(*e->s) ? named(e) : literal(e);
    e->s++;
    if (e->depth++ > MAX_PARENS)
        return fail(e, e->s, "an expression nested too deeply");
    n = sum(e);
    e->depth--;
    skip(e);
    if (e->s >= e->end || *e->s != ')')
        return fail(e, e->s, "expected ')'");
    e->s++;
    return n;
}

static Num apply(Expr *e, const char *at, char op, Num a, Num b)
{
    Num r = { a.is_int && b.is_int, 0, 0 };
    bool over = false;

    if (r.is_int) {
        if ((op == '/' || op == '%') && b.i == 0)
            return fail(e, at, "a division by zero");
        if (b.i == -1 && (op == '/' || op == '%'))
            over = __builtin_mul_overflow(a.i, op == '/' ? -1 : 0, &r.i);
        else if (op == '/')
            r.i = a.i / b.i;
        else if (op == '%')
            r.i = a.i % b.i;
        else
            over = op == '+' ? __builtin_add_overflow(a.i, b.i, &r.i)
                 : op == '-' ? __builtin_sub_overflow(a.i, b.i, &r.i)
                             : __builtin_mul_overflow(a.i, b.i, &r.i);
        if (over)
            return fail(e, at, "an integer that is too large");
        r.d = (double)r.i;
        return r;
    }
    r.d = op == '+' ? a.d + b.d : op == '-' ? a.d - b.d
        : op == '*' ? a.d * b.d : op == '/' ? a.d / b.d : fmod(a.d, b.d);
    return r;
}

static Num product(Expr *e)
{
    Num a = atom(e);

    for (;;) {
        const char *at;
        skip(e);
        at = e->s;
        if (e->failed || at >= e->end || !strchr("*/%", *at) || !*at ||
            (at[0] == '/' && at + 1 < e->end && at[1] == '/'))
            return a;
        e->s++;
        a = apply(e, at, *at, a, atom(e));
    }
}

static Num sum(Expr *e)
{
    Num a = product(e);

    for (;;) {
        const char *at;
        skip(e);
        at = e->s;
        if (e->failed || at >= e->end || (*at != '+' && *at != '-'))
            return a;
        e->s++;
        a = apply(e, at, *at, a, product(e));
    }
}

bool expr_eval(Text *t, const char **s, const char *end, Number *out)
{
    Expr e = { t, *s, end, 0, false };
    Num n = sum(&e);
    Buf b;

    *s = e.s;
    *out = (Number){ .kind = NUMBER_INT, .exact = true };
    if (e.failed)
        return false;
    if (n.is_int) {
        out->neg = n.i < 0;
        out->digits = n.i < 0 ? 0 - (uint64_t)n.i : (uint64_t)n.i;
        return true;
    }
    buf_init(&b, t->scratch);
    number_put_f64(&b, n.d);
    number_scan(b.s, b.s + b.n, out);
    return true;
}

/* Names with numbers in them */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0'
         : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Behind a backslash: \\ and \" as in ONNX; \n, \t, \r, \xHH are ours. */
static const char *escape(Buf *b, const char *s, const char *end)
{
    if (end - s >= 3 && *s == 'x' && hex(s[1]) >= 0 && hex(s[2]) >= 0) {
        buf_putc(b, (char)(hex(s[1]) * 16 + hex(s[2])));
        return s + 3;
    }
    buf_putc(b, *s == 'n' ? '\n' : *s == 't' ? '\t' : *s == 'r' ? '\r' : *s);
    return s + 1;
}

static const char *substitute(Text *t, Buf *b, const char *s,
                              const char *end)
{
    const char *from = s + 2, *close = memchr(s, '}', (size_t)(end - s));
    Number x;
    int64_t i;

    if (!close) {
        uint32_t at = (uint32_t)(s - t->s);
        text_error(t, (Span){ at, at + 2 }, "${ without }");
        return end;
    }
    if (!expr_eval(t, &from, close, &x))
        return end;
    if (from != close || !number_i64(&x, &i)) {
        uint32_t at = (uint32_t)(s - t->s);
        text_error(t, (Span){ at, at + 2 }, "${...} is not an integer");
        return end;
    }
    buf_printf(b, "%lld", (long long)i);
    return close + 1;
}

const char *text_string(Text *t, Span at, const char *s, size_t n)
{
    const char *end = s + n;
    Buf b;

    if (memchr(s, 0, n)) {
        text_error(t, at, "a zero byte in a string");
        return "";
    }
    if (!memchr(s, '\\', n) && !memchr(s, '$', n))
        return arena_strndup(t->arena, s, n);
    buf_init(&b, t->scratch);
    while (s < end)
        if (*s == '\\' && s + 1 < end)
            s = escape(&b, s + 1, end);
        else if (s[0] == '$' && s + 1 < end && s[1] == '{')
            s = substitute(t, &b, s, end);
        else
            buf_putc(&b, *s++);
    if (memchr(b.s, 0, b.n)) {
        text_error(t, at, "a zero byte in a string");
        return "";
    }
    return arena_strndup(t->arena, b.s, b.n);
}
