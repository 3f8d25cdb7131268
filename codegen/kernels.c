/* kernels.c - finds, specialises and orders the kernels a model uses.
 *
 * The convention is described in runtime_stub/kernels/kernel.h. A kernel's
 * text is scanned for identifiers; each is replaced or kept as a whole, and
 * each that names another kernel is pasted before it.
 */
#include "../ir/ir.h"
#include "kernels.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/map.h"

typedef struct Source {         /* one function of the library */
    const char *name;           /* mcu_softmax_T */
    const char *text;
    size_t n;
    int stack;                  /* bytes, from `Stack: N bytes` */
} Source;

typedef struct Variant {        /* one that was pasted */
    const char *name;           /* in the C file */
    int stack;                  /* with the kernels that it calls */
} Variant;

struct Kernels {
    Arena *arena;
    const char *prefix;
    Map sources, used;          /* by template name; by final name */
    Buf text;
    int stack;                  /* most of any */
    int deepest;                /* most of those used since kernels_begin */
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static const char *line_start(const char *text, const char *p)
{
    while (p > text && p[-1] != '\n')
        p--;
    return p;
}

/* The comment block directly above the function belongs to it. */
static const char *with_comment(const char *text, const char *fn)
{
    const char *p = fn, *prev;

    if (p == text)
        return p;
    prev = line_start(text, p - 1);
    if (!strstr(prev, "*/") || strstr(prev, "*/") > p)
        return p;
    for (p = prev; p > text; p = line_start(text, p - 1))
        if (p[0] == '/' && p[1] == '*')
            return p;
    return p[0] == '/' && p[1] == '*' ? p : fn;
}

static void add_source(Kernels *k, const char *text, const char *fn)
{
    const char *paren = strchr(fn, '('), *p = paren, *end, *at;
    Source *s = NEW(k->arena, Source);

    while (p > fn && is_word(p[-1]))
        p--;
    end = strstr(fn, "\n}\n");
    if (!paren || !end)
        return;
    s->name = arena_strndup(k->arena, p, (size_t)(paren - p));
    s->text = with_comment(text, fn);
    s->n = (size_t)(end + 3 - s->text);
    at = strstr(s->text, "Stack: ");
    if (at && at < end)
        s->stack = atoi(at + 7);
    map_put(&k->sources, s->name, s);
}

static void read_library(Kernels *k)
{
    for (const KernelFile *f = kernel_files; f->name; f++)
        for (const char *p = f->text; (p = strstr(p, "\nKERNEL ")); p++)
            add_source(k, f->text, p + 1);
}

Kernels *kernels_new(Arena *arena, const char *prefix)
{
    Kernels *k = NEW(arena, Kernels);

    k->arena = arena;
    k->prefix = prefix;
    map_init(&k->sources, arena);
    map_init(&k->used, arena);
    buf_init(&k->text, arena);
    read_library(k);
    return k;
}

static DType acc_type(DType t)
{
    switch (dtype_kind(t)) {
    case DK_FLOAT: return t == DT_F64 ? DT_F64 : DT_F32;
    case DK_INT: return DT_I64;
    default: return DT_U64;
    }
}

static DType wrap_type(DType t)
{
    return dtype_bits(t) > 32 ? DT_U64 : DT_U32;
}

static const char *limit(DType t, bool high)
{
    static const struct { DType t; const char *low, *high; } rows[] = {
        { DT_F32, "(-INFINITY)", "INFINITY" },
        { DT_F64, "(-(double)INFINITY)", "((double)INFINITY)" },
        { DT_I8, "INT8_MIN", "INT8_MAX" },
        { DT_I16, "INT16_MIN", "INT16_MAX" },
        { DT_I32, "INT32_MIN", "INT32_MAX" },
        { DT_I64, "INT64_MIN", "INT64_MAX" },
        { DT_U8, "0", "UINT8_MAX" }, { DT_BOOL, "0", "1" },
        { DT_U16, "0", "UINT16_MAX" }, { DT_U32, "0", "UINT32_MAX" },
        { DT_U64, "0", "UINT64_MAX" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].t == t)
            return high ? rows[i].high : rows[i].low;
    return "0";
}

/* Type letter at the end of a name: _T, _I, _A, _U; DT_NONE: not one. */
static DType letter_type(char c, DType t, DType i)
{
    switch (c) {
    case 'T': return t;
    case 'I': return i;
    case 'A': return acc_type(t);
    case 'U': return wrap_type(t);
    default: return DT_NONE;
    }
}

/* mcu_gather_T_I -> mcu_gather_f32_s64 */
static const char *suffixed(Kernels *k, const char *name, DType t, DType i)
{
    char tail[64] = "";
    size_t n = strlen(name);

    while (n > 2 && name[n - 2] == '_') {
        char more[64];
        DType dt = letter_type(name[n - 1], t, i);
        if (dt == DT_NONE)
            break;
        snprintf(more, sizeof more, "_%s%s", dtype_suffix(dt), tail);
        memcpy(tail, more, sizeof tail);
        n -= 2;
    }
    return arena_printf(k->arena, "%.*s%s", (int)n, name, tail);
}

static const char *use(Kernels *k, const char *name, DType t, DType i);

static void put_word(Kernels *k, Buf *out, const char *word, DType t, DType i)
{
    size_t n = strlen(word);
    DType whole = n == 1 ? letter_type(word[0], t, i) : DT_NONE;

    if (whole != DT_NONE)
        buf_puts(out, dtype_ctype(whole));
    else if (!strcmp(word, "KERNEL"))
        buf_puts(out, "static");
    else if (!strcmp(word, "T_LOWEST") || !strcmp(word, "T_HIGHEST"))
        buf_puts(out, limit(t, word[2] == 'H'));
    else if (!strncmp(word, "mcu_", 4))
        buf_puts(out, use(k, word, t, i));
    else
        buf_puts(out, word);
}

static void substitute(Kernels *k, Buf *out, const char *text, size_t n,
                       DType t, DType i)
{
    const char *p = text, *end = text + n;
    char word[128];

    while (p < end) {
        const char *q = p;
        if (p[0] == '/' && p + 1 < end && p[1] == '*') {
            const char *stop = strstr(p, "*/");
            q = stop ? stop + 2 : end;
            buf_write(out, p, (size_t)(q - p));
        } else if (isalpha((unsigned char)*p) || *p == '_') {
            while (q < end && is_word(*q))
                q++;
            snprintf(word, sizeof word, "%.*s", (int)(q - p), p);
            put_word(k, out, word, t, i);
        } else if (isdigit((unsigned char)*p)) {    /* 1u, 0x1p3f */
            while (q < end && (is_word(*q) || *q == '.'))
                q++;
            buf_write(out, p, (size_t)(q - p));
        } else {
            buf_putc(out, *q++);
        }
        p = q;
    }
}

void kernels_substitute(Kernels *k, Buf *out, const char *text, DType t,
                        DType i)
{
    substitute(k, out, text, strlen(text), t, i);
}

/* mcu_dot_s8, a name of one certain type: the kernel mcu_dot_T with T set. */
static const Source *typed_source(Kernels *k, const char *name, DType *t)
{
    const char *at = strrchr(name, '_');

    for (int dt = 1; at && dt < DT_MAX; dt++)
        if (dtype_suffix((DType)dt) &&
            !strcmp(dtype_suffix((DType)dt), at + 1)) {
            *t = (DType)dt;
            return map_get(&k->sources,
                           arena_printf(k->arena, "%.*s_T",
                                        (int)(at - name), name));
        }
    return NULL;
}

/* The name a kernel (or a kernel-local name) has in this model. */
static const char *use(Kernels *k, const char *name, DType t, DType i)
{
    const char *full = suffixed(k, name, t, i);
    const Source *s = map_get(&k->sources, full);
    Variant *v = map_get(&k->used, full);
    int before = k->deepest;
    Buf body;

    if (v) {
        k->deepest = v->stack > before ? v->stack : before;
        return v->name;
    }
    v = NEW(k->arena, Variant);
    v->name = arena_printf(k->arena, "%s_%s", k->prefix, full + 4);
    if (!s)
        s = map_get(&k->sources, name);
    if (!s)
        s = typed_source(k, name, &t);
    map_put(&k->used, full, v);
    if (!s) {
        fprintf(stderr, "mcufc: internal error: no kernel '%s'\n", name);
        abort();
    }
    k->deepest = s->stack;
    buf_init(&body, k->arena);
    substitute(k, &body, s->text, s->n, t, i);
    buf_write(&k->text, body.s, body.n);
    buf_putc(&k->text, '\n');
    v->stack = k->deepest;
    if (v->stack > k->stack)
        k->stack = v->stack;
    if (before > k->deepest)
        k->deepest = before;
    return v->name;
}

const char *kernels_use(Kernels *k, const char *kernel, DType t, DType i)
{
    return use(k, arena_printf(k->arena, "mcu_%s", kernel), t, i);
}

void kernels_paste(const Kernels *k, Buf *out)
{
    buf_write(out, k->text.s, k->text.n);
}

int kernels_stack(const Kernels *k)
{
    return k->stack;
}

void kernels_begin(Kernels *k)
{
    k->deepest = 0;
}

int kernels_deepest(const Kernels *k)
{
    return k->deepest;
}
