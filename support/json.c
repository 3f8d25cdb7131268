/* json.c - a recursive-descent reader, one function per kind of value. */
#include "json.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

enum { MAX_DEPTH = 32, MAX_KEYS = 256 };

typedef struct Reader {
    const char *p, *end;
    const char *path;
    int line, depth;
    Arena *arena;
    Diag *diag;
} Reader;

static bool value(Reader *r, Json *j);

static bool fail(Reader *r, const char *what)
{
    const char *file = r->diag->file;

    r->diag->file = r->path;
    diag_error(r->diag, "line %d: %s", r->line, what);
    r->diag->file = file;
    return false;
}

static void blanks(Reader *r)
{
    for (; r->p < r->end && strchr(" \t\r\n", *r->p) && *r->p; r->p++)
        r->line += *r->p == '\n';
}

/* The next character behind blanks; 0 at the end. */
static char peek(Reader *r)
{
    blanks(r);
    return r->p < r->end ? *r->p : 0;
}

static bool take(Reader *r, char c)
{
    if (peek(r) != c)
        return false;
    r->p++;
    return true;
}

static bool word(Reader *r, const char *w)
{
    size_t n = strlen(w);

    if ((size_t)(r->end - r->p) < n || memcmp(r->p, w, n))
        return false;
    r->p += n;
    return true;
}

/* four hexadecimal digits; -1: they are not */
static int hex4(Reader *r)
{
    int x = 0;

    for (int i = 0; i < 4; i++, r->p++) {
        if (r->p >= r->end || !isxdigit((unsigned char)*r->p))
            return -1;
        x = 16 * x + (isdigit((unsigned char)*r->p)
                          ? *r->p - '0' : (*r->p | 32) - 'a' + 10);
    }
    return x;
}

static void put_utf8(Buf *b, int c)
{
    if (c < 0x80) {
        buf_putc(b, (char)c);
    } else if (c < 0x800) {
        buf_putc(b, (char)(0xc0 | c >> 6));
        buf_putc(b, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        buf_putc(b, (char)(0xe0 | c >> 12));
        buf_putc(b, (char)(0x80 | (c >> 6 & 63)));
        buf_putc(b, (char)(0x80 | (c & 63)));
    } else {
        buf_putc(b, (char)(0xf0 | c >> 18));
        buf_putc(b, (char)(0x80 | (c >> 12 & 63)));
        buf_putc(b, (char)(0x80 | (c >> 6 & 63)));
        buf_putc(b, (char)(0x80 | (c & 63)));
    }
}

/* behind "\u": a character, perhaps from two surrogates; 0 is refused, a
 * string here is terminated by it */
static bool unicode(Reader *r, Buf *b)
{
    int c = hex4(r);

    if (c >= 0xd800 && c < 0xdc00) {
        int low = word(r, "\\u") ? hex4(r) : -1;
        c = low >= 0xdc00 && low < 0xe000
                ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : -1;
    } else if (c >= 0xdc00 && c < 0xe000) {
        c = -1;
    }
    if (c <= 0)
        return fail(r, "a bad \\u escape");
    put_utf8(b, c);
    return true;
}

static bool escape(Reader *r, Buf *b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at;
    char c = r->p < r->end ? *r->p++ : 0;

    if (c == 'u')
        return unicode(r, b);
    at = c ? strchr(from, c) : NULL;
    if (!at)
        return fail(r, "a bad escape");
    buf_putc(b, to[at - from]);
    return true;
}

static bool string(Reader *r, const char **out)
{
    Buf b;

    buf_init(&b, r->arena);
    if (!take(r, '"'))
        return fail(r, "a string is missing");
    while (r->p < r->end && *r->p != '"') {
        unsigned char c = (unsigned char)*r->p++;
        if (c < 32)
            return fail(r, "a control character in a string");
        if (c != '\\')
            buf_putc(&b, (char)c);
        else if (!escape(r, &b))
            return false;
    }
    if (r->p >= r->end)
        return fail(r, "a string has no end");
    r->p++;
    *out = b.s;
    return true;
}

static bool digits(Reader *r)
{
    const char *from = r->p;

    while (r->p < r->end && isdigit((unsigned char)*r->p))
        r->p++;
    return r->p > from;
}

static bool number(Reader *r, Json *j)
{
    const char *from = r->p, *text;
    bool whole = true, good;

    r->p += *r->p == '-';
    good = r->p < r->end &&
           (*r->p == '0' ? (r->p++, true) : digits(r));
    if (good && r->p < r->end && *r->p == '.') {
        whole = false;
        r->p++;
        good = digits(r);
    }
    if (good && r->p < r->end && (*r->p | 32) == 'e') {
        whole = false;
        r->p++;
        r->p += r->p < r->end && (*r->p == '+' || *r->p == '-');
        good = digits(r);
    }
    if (!good)
        return fail(r, "a bad number");
    text = arena_strndup(r->arena, from, (size_t)(r->p - from));
    errno = 0;
    j->kind = whole ? JSON_INT : JSON_REAL;
    j->number = whole ? strtoll(text, NULL, 10) : 0;
    if (errno)
        return fail(r, "a number does not fit 64 bits");
    j->real = strtod(text, NULL);
    return true;
}

static bool add(Reader *r, Json *j, int *cap, const char *key)
{
    Json *one = NEW(r->arena, Json);

    one->key = key;
    if (!value(r, one))
        return false;
    PUSH(r->arena, j->item, j->n, *cap, one);
    return true;
}

static bool array(Reader *r, Json *j)
{
    int cap = 0;

    j->kind = JSON_ARRAY;
    r->p++;
    if (take(r, ']'))
        return true;
    do
        if (!add(r, j, &cap, NULL))
            return false;
    while (take(r, ','));
    return take(r, ']') || fail(r, "',' or ']' is missing");
}

static bool object(Reader *r, Json *j)
{
    const char *key;
    int cap = 0;

    j->kind = JSON_OBJECT;
    r->p++;
    if (take(r, '}'))
        return true;
    do {
        if (!string(r, &key))
            return false;
        if (json_get(j, key))
            return fail(r, "a key stands twice");
        if (j->n == MAX_KEYS)
            return fail(r, "an object has more than 256 keys");
        if (!take(r, ':'))
            return fail(r, "':' is missing");
        if (!add(r, j, &cap, key))
            return false;
    } while (take(r, ','));
    return take(r, '}') || fail(r, "',' or '}' is missing");
}

static bool literal(Reader *r, Json *j)
{
    j->kind = JSON_BOOL;
    j->number = word(r, "true");
    if (j->number || word(r, "false"))
        return true;
    j->kind = JSON_NULL;
    return word(r, "null") || fail(r, "a value is missing");
}

static bool value(Reader *r, Json *j)
{
    char c = peek(r);
    bool ok;

    j->line = r->line;
    if (++r->depth > MAX_DEPTH)
        return fail(r, "nested too deeply");
    if (c == '{') {
        ok = object(r, j);
    } else if (c == '[') {
        ok = array(r, j);
    } else if (c == '"') {
        j->kind = JSON_STRING;
        ok = string(r, &j->text);
    } else if (c == '-' || isdigit((unsigned char)c)) {
        ok = number(r, j);
    } else {
        ok = literal(r, j);
    }
    r->depth--;
    return ok;
}

const Json *json_parse(const char *text, size_t n, const char *path,
                       Arena *arena, Diag *diag)
{
    Reader r = { text, text + n, path, 1, 0, arena, diag };
    Json *j = NEW(arena, Json);

    if (!value(&r, j))
        return NULL;
    if (peek(&r) || r.p < r.end) {
        fail(&r, "something stands behind the value");
        return NULL;
    }
    return j;
}

const Json *json_get(const Json *j, const char *key)
{
    for (int i = 0; j && j->kind == JSON_OBJECT && i < j->n; i++)
        if (!strcmp(j->item[i]->key, key))
            return j->item[i];
    return NULL;
}

const char *json_kind(const Json *j)
{
    static const char *const names[] = {
        "null", "a truth value", "a number", "a number", "a string",
        "a list", "an object"
    };

    return j ? names[j->kind] : "missing";
}
