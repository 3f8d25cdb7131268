/* weights.c - constants as C text that round-trips exactly.
 *
 * Compilers read a string literal 20 to 30 times faster than a list of
 * numbers, so the default form is a union of string chunks (at most 4,095
 * characters each, C99's limit) and the typed array. Traps: `?` is escaped
 * (trigraphs), only octal escapes are used (`\x` is greedy), and a short
 * octal escape is never followed by a digit. The list form is for tools
 * that want numbers; non-finite values are then written as bit patterns.
 */
#include "weights.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../support/map.h"

enum { CHUNK = 4088 };          /* a multiple of 8 below 4,095 */

typedef struct Const {
    const char *name;
    DType dt;
    int64_t n, bytes, offset;   /* offset: in the blob */
    const void *data;
    const char *expr;
    struct Const *next;         /* same hash */
    struct Const *alike;        /* same first bytes */
} Const;

struct Weights {
    Arena *arena;
    const char *prefix, *upper;
    ConstForm form;
    int n, cap;
    Const **list;
    int64_t bytes, blob;
    Map by_hash, by_start;
    bool parts;                 /* the beginning of an array may be another */
};

enum { START = 4 };

Weights *weights_new(Arena *arena, const char *prefix, const char *upper,
                     ConstForm form)
{
    Weights *w = NEW(arena, Weights);

    w->arena = arena;
    w->prefix = prefix;
    w->upper = upper;
    w->form = form;
    map_init(&w->by_hash, arena);
    map_init(&w->by_start, arena);
    return w;
}

static const char *expression(Weights *w, const Const *c)
{
    if (w->form == CONST_FILE)
        return arena_printf(w->arena, "((const %s *)(const void *)(%s_base(a)"
                            " + %lld))", dtype_ctype(c->dt), w->prefix,
                            (long long)c->offset);
    return arena_printf(w->arena, "%s.v", c->name);
}

static const char *identifier(Arena *arena, const char *hint)
{
    char *s = arena_strdup(arena, hint);

    for (char *p = s; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
              (*p >= '0' && *p <= '9')))
            *p = '_';
    if (strlen(s) > 40)
        s[40] = 0;
    return s;
}

void weights_share_parts(Weights *w, bool yes)
{
    w->parts = yes;
}

static const char *start_key(Weights *w, DType dt, const void *data)
{
    return arena_printf(w->arena, "%08lx.%d", crc32_z(0, data, START),
                        (int)dt);
}

/* An array that begins with these bytes, or NULL. */
static const char *find_part(Weights *w, DType dt, int64_t bytes,
                             const void *data)
{
    const Const *c;

    if (!w->parts || bytes < START)
        return NULL;
    c = map_get(&w->by_start, start_key(w, dt, data));
    while (c && (c->bytes < bytes || memcmp(c->data, data, (size_t)bytes)))
        c = c->alike;
    return c ? c->expr : NULL;
}

static void note_start(Weights *w, Const *c)
{
    const char *key;

    if (c->bytes < START)
        return;
    key = start_key(w, c->dt, c->data);
    c->alike = map_get(&w->by_start, key);
    map_put(&w->by_start, key, c);
}

const char *weights_add(Weights *w, const char *hint, DType dt, int64_t n,
                        const void *data)
{
    static const uint64_t nothing;      /* C has no empty arrays */
    int64_t bytes;
    unsigned long h;
    Const *first, *c;
    const char *part;
    char *key;

    data = n ? data : &nothing;
    n = n ? n : 1;
    bytes = (n * dtype_bits(dt) + 7) / 8;
    h = crc32_z(0, data, (size_t)bytes);
    key = arena_printf(w->arena, "%08lx.%lld.%d", h, (long long)bytes,
                       (int)dt);
    first = map_get(&w->by_hash, key);
    for (c = first; c; c = c->next)
        if (!memcmp(c->data, data, (size_t)bytes))
            return c->expr;
    part = find_part(w, dt, bytes, data);
    if (part)
        return part;
    c = NEW(w->arena, Const);
    c->name = arena_printf(w->arena, "%s_w%d_%s", w->prefix, w->n,
                           identifier(w->arena, hint));
    c->dt = dt;
    c->n = n;
    c->bytes = bytes;
    c->data = data;
    c->offset = w->blob;
    w->blob = (w->blob + bytes + 15) / 16 * 16;
    c->expr = expression(w, c);
    c->next = first;
    map_put(&w->by_hash, key, c);
    note_start(w, c);
    PUSH(w->arena, w->list, w->n, w->cap, c);
    w->bytes += bytes;
    return c->expr;
}

int64_t weights_bytes(const Weights *w)
{
    return w->bytes;
}

typedef struct Escape {
    char text[2][5];            /* [1]: a digit follows */
    uint8_t n[2];
} Escape;

static void make_escapes(Escape *table)
{
    memset(table, 0, 256 * sizeof *table);
    for (int c = 0; c < 256; c++) {
        Escape *e = &table[c];
        bool plain = c >= 32 && c < 127 && c != '"' && c != '\\' && c != '?';
        if (plain) {
            e->text[0][0] = e->text[1][0] = (char)c;
        } else if (c == '"' || c == '\\' || c == '?') {
            snprintf(e->text[0], 5, "\\%c", c);
            snprintf(e->text[1], 5, "\\%c", c);
        } else {
            snprintf(e->text[0], 5, "\\%o", c);
            snprintf(e->text[1], 5, "\\%03o", c);
        }
        e->n[0] = (uint8_t)strlen(e->text[0]);
        e->n[1] = (uint8_t)strlen(e->text[1]);
    }
}

/* One literal, in source lines of about 100 columns. */
static bool write_chunk(FILE *out, const uint8_t *p, int64_t n,
                        const Escape *table, const char *end)
{
    /* four characters for a byte, three for the end of a line every 100 */
    char buf[4 * CHUNK + 3 * (4 * CHUNK / 100 + 1) + 8], *q = buf;
    int col = 0;

    *q++ = '"';
    for (int64_t i = 0; i < n; i++) {
        const Escape *e = &table[p[i]];
        bool digit = i + 1 < n && p[i + 1] >= '0' && p[i + 1] <= '9';
        memcpy(q, e->text[digit], 4);
        q += e->n[digit];
        col += e->n[digit];
        if (col >= 100 && i + 1 < n) {
            memcpy(q, "\"\n\"", 3);
            q += 3;
            col = 0;
        }
    }
    *q++ = '"';
    return fwrite(buf, 1, (size_t)(q - buf), out) == (size_t)(q - buf) &&
           fputs(end, out) >= 0;
}

static bool write_strings(const Weights *w, const Const *c, FILE *out,
                          const Escape *table)
{
    int64_t full = c->bytes / CHUNK, rest = c->bytes % CHUNK;
    const uint8_t *p = c->data;
    bool ok = true;

    fprintf(out, "%s_WEIGHTS static const union {\n    struct {", w->upper);
    if (full)
        fprintf(out, " char a[%lld][%d];", (long long)full, CHUNK);
    if (rest)
        fprintf(out, " char b[%lld];", (long long)rest);
    fprintf(out, " } c;\n    %s v[%lld];\n} %s = { {", dtype_ctype(c->dt),
            (long long)(c->bytes / dtype_bytes(c->dt)), c->name);
    if (full) {
        fputs(" {\n", out);
        for (int64_t i = 0; ok && i < full; i++)
            ok = write_chunk(out, p + i * CHUNK, CHUNK, table, ",\n");
        fprintf(out, "}%s\n", rest ? "," : "");
    }
    if (rest)
        ok = ok && write_chunk(out, p + full * CHUNK, rest, table, "");
    fputs(" } };\n\n", out);
    return ok && !ferror(out);
}

static bool all_finite(const Const *c)
{
    for (int64_t i = 0; i < c->n; i++) {
        double x = elem_get(c->dt, c->data, i);
        if (x - x != 0)
            return false;
    }
    return true;
}

static void write_number(FILE *out, const Const *c, int64_t i, bool bits)
{
    const void *p = c->data;

    if (bits && c->dt == DT_F32)
        fprintf(out, "0x%08xu", ((const uint32_t *)p)[i]);
    else if (bits && c->dt == DT_F64)
        fprintf(out, "0x%016llxu", (unsigned long long)
                ((const uint64_t *)p)[i]);
    else if (c->dt == DT_F32)
        fprintf(out, "%.9ef", (double)((const float *)p)[i]);
    else if (c->dt == DT_F64)
        fprintf(out, "%.17e", ((const double *)p)[i]);
    else if (c->dt == DT_U64)
        fprintf(out, "%lluu", (unsigned long long)((const uint64_t *)p)[i]);
    else if (c->dt == DT_I64 && ((const int64_t *)p)[i] == INT64_MIN)
        fputs("-9223372036854775807 - 1", out);
    else if (c->dt == DT_I32 && ((const int32_t *)p)[i] == INT32_MIN)
        fputs("-2147483647 - 1", out);
    else if (c->dt == DT_U32)
        fprintf(out, "%uu", ((const uint32_t *)p)[i]);
    else if (c->dt == DT_F16 || c->dt == DT_BF16)
        fprintf(out, "%u", (unsigned)((const uint16_t *)p)[i]);
    else if (dtype_bits(c->dt) == 4)
        fprintf(out, "%u", (unsigned)((const uint8_t *)p)[i]);
    else
        fprintf(out, "%lld", (long long)elem_get_int(c->dt, p, i));
}

static bool write_list(const Weights *w, const Const *c, FILE *out)
{
    bool bits = dtype_is_float(c->dt) && dtype_bits(c->dt) >= 32 &&
                !all_finite(c);
    int64_t n = c->bytes / dtype_bytes(c->dt);

    if (bits)
        fprintf(out, "%s_WEIGHTS static const union {\n    %s b[%lld];\n"
                "    %s v[%lld];\n} %s = { {\n", w->upper,
                c->dt == DT_F32 ? "uint32_t" : "uint64_t", (long long)n,
                dtype_ctype(c->dt), (long long)n, c->name);
    else
        fprintf(out, "%s_WEIGHTS static const struct {\n    %s v[%lld];\n"
                "} %s = { {\n", w->upper, dtype_ctype(c->dt), (long long)n,
                c->name);
    for (int64_t i = 0; i < n; i++) {
        write_number(out, c, i, bits);
        fputs(i + 1 == n ? "\n" : i % 6 == 5 ? ",\n" : ", ", out);
    }
    fputs("} };\n\n", out);
    return !ferror(out);
}

bool weights_write(const Weights *w, FILE *out)
{
    Escape table[256];

    if (w->form == CONST_FILE)
        return true;
    make_escapes(table);
    for (int i = 0; i < w->n; i++)
        if (w->form == CONST_LIST ? !write_list(w, w->list[i], out)
                                  : !write_strings(w, w->list[i], out, table))
            return false;
    return true;
}

bool weights_write_blob(const Weights *w, FILE *out)
{
    static const char zero[16];

    for (int i = 0; i < w->n; i++) {
        const Const *c = w->list[i];
        size_t pad = (size_t)(-c->bytes & 15);
        if (fwrite(c->data, 1, (size_t)c->bytes, out) != (size_t)c->bytes ||
            fwrite(zero, 1, pad, out) != pad)
            return false;
    }
    return true;
}

int64_t weights_blob_bytes(const Weights *w)
{
    return w->blob;
}

uint32_t weights_crc(const Weights *w)
{
    static const uint8_t zero[16];
    unsigned long crc = crc32(0, NULL, 0);

    for (int i = 0; i < w->n; i++) {
        const Const *c = w->list[i];
        crc = crc32_z(crc, c->data, (size_t)c->bytes);
        crc = crc32_z(crc, zero, (size_t)(-c->bytes & 15));
    }
    return (uint32_t)crc;
}

void weights_layout(const Weights *w, Buf *out)
{
    for (int i = 0; i < w->n; i++) {
        const Const *c = w->list[i];
        buf_printf(out, " * %10lld %10lld  %s[%lld] %s\n",
                   (long long)c->offset, (long long)c->bytes,
                   dtype_name(c->dt), (long long)c->n, c->name);
    }
}
