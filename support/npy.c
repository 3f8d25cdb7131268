/* npy.c - one numpy array: magic, a Python dict literal as header, data.
 * Big-endian and Fortran-ordered arrays are turned while reading. */
#include "npz.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char magic[] = "\x93NUMPY";
enum { MAGIC = 6, HEADER_ALIGN = 64 };

typedef struct Header {
    const char *p, *end;        /* what is left of the text */
    char order;                 /* < > | = */
    bool fortran, has_descr, has_order, has_shape;
} Header;

bool npy_is(const uint8_t *p, size_t n)
{
    return n >= MAGIC && !memcmp(p, magic, MAGIC);
}

static bool next(Header *h, char c)
{
    while (h->p < h->end && (*h->p == ' ' || *h->p == '\n'))
        h->p++;
    if (h->p == h->end || *h->p != c)
        return false;
    h->p++;
    return true;
}

static bool word(Header *h, const char *w)
{
    size_t n = strlen(w);

    next(h, ' ');
    if ((size_t)(h->end - h->p) < n || memcmp(h->p, w, n))
        return false;
    h->p += n;
    return true;
}

/* A quoted string without escapes, into s[cap]. */
static bool string(Header *h, char *s, size_t cap)
{
    char quote;
    size_t n = 0;

    if (next(h, '\''))
        quote = '\'';
    else if (next(h, '"'))
        quote = '"';
    else
        return false;
    while (h->p < h->end && *h->p != quote && n + 1 < cap)
        s[n++] = *h->p++;
    s[n] = 0;
    return h->p < h->end && *h->p++ == quote;
}

static bool number(Header *h, int64_t *v)
{
    *v = 0;
    next(h, ' ');
    if (h->p == h->end || *h->p < '0' || *h->p > '9')
        return false;
    for (; h->p < h->end && *h->p >= '0' && *h->p <= '9'; h->p++) {
        if (*v > (INT64_MAX - 9) / 10)
            return false;
        *v = *v * 10 + (*h->p - '0');
    }
    if (h->p < h->end && *h->p == 'L')  /* written by Python 2 */
        h->p++;
    return true;
}

static bool shape(Header *h, NpyArray *a)
{
    if (!next(h, '('))
        return false;
    a->rank = 0;
    while (!next(h, ')')) {
        if (a->rank == NPY_MAX_RANK || !number(h, &a->dim[a->rank]))
            return false;
        a->rank++;
        if (!next(h, ',') && !(next(h, ')') && (h->p--, true)))
            return false;
    }
    return true;
}

static bool element(Header *h, Arena *arena, NpyArray *a)
{
    char s[64];
    int64_t size = 0;

    next(h, ' ');
    if (h->p < h->end && *h->p == '[') {
        a->problem = "elements are structures";
        for (int deep = 0; h->p < h->end; h->p++) {
            deep += *h->p == '[';
            deep -= *h->p == ']';
            if (!deep)
                return h->p++, true;
        }
        return false;
    }
    if (!string(h, s, sizeof s) || strlen(s) < 2 || !strchr("<>|=", s[0]))
        return false;
    for (const char *d = s + 2; *d >= '0' && *d <= '9' && size < 1 << 20; d++)
        size = size * 10 + (*d - '0');
    h->order = s[0];
    a->kind = s[1];
    a->size = (int)size;
    if (!strchr("fiubV", a->kind) || size > 8 || (size & (size - 1)) ||
        size < (a->kind == 'f' ? 2 : 1) || (a->kind == 'b' && size > 1))
        a->problem = arena_printf(arena, "element type '%c%d' is not "
                                  "supported", a->kind >= ' ' &&
                                  a->kind < 127 ? a->kind : '?', a->size);
    return true;
}

static bool parse_header(Header *h, Arena *arena, NpyArray *a)
{
    char key[32];

    if (!next(h, '{'))
        return false;
    while (!next(h, '}')) {
        if (!string(h, key, sizeof key) || !next(h, ':'))
            return false;
        if (!strcmp(key, "descr")) {
            h->has_descr = element(h, arena, a);
        } else if (!strcmp(key, "fortran_order")) {
            h->fortran = word(h, "True");
            h->has_order = h->fortran || word(h, "False");
        } else if (!strcmp(key, "shape")) {
            h->has_shape = shape(h, a);
        } else {
            return false;
        }
        if (!next(h, ',') && !(next(h, '}') && (h->p--, true)))
            return false;
    }
    return h->has_descr && h->has_order && h->has_shape;
}

static bool count_elements(NpyArray *a)
{
    const int64_t most = INT64_MAX / 8;

    a->count = 1;
    for (int i = 0; i < a->rank; i++) {
        int64_t d = a->dim[i];
        if (d && a->count > most / d)
            return false;
        a->count *= d;
    }
    return true;
}

static void swap_bytes(uint8_t *p, int64_t count, int size)
{
    for (int64_t i = 0; i < count; i++, p += size)
        for (int k = 0; k < size / 2; k++) {
            uint8_t t = p[k];
            p[k] = p[size - 1 - k];
            p[size - 1 - k] = t;
        }
}

/* Column-major from to row-major to: an odometer over the indices. */
static void transpose(uint8_t *to, const uint8_t *from, const NpyArray *a)
{
    int64_t index[NPY_MAX_RANK] = { 0 }, stride[NPY_MAX_RANK], at = 0;
    int64_t step = a->size;

    for (int i = 0; i < a->rank; i++) {
        stride[i] = step;
        step *= a->dim[i];
    }
    for (int64_t i = 0; i < a->count; i++, to += a->size) {
        memcpy(to, from + at, (size_t)a->size);
        for (int k = a->rank - 1; k >= 0; k--) {
            at += stride[k];
            if (++index[k] < a->dim[k])
                break;
            at -= stride[k] * a->dim[k];
            index[k] = 0;
        }
    }
}

static void take_data(const uint8_t *p, const Header *h, Arena *arena,
                      NpyArray *a)
{
    size_t bytes = (size_t)(a->count * a->size);
    bool swap = h->order == '>' && a->size > 1;
    bool turn = h->fortran && a->rank > 1;
    uint8_t *copy;

    a->data = p;
    if (!swap && !turn && (uintptr_t)p % 8 == 0)
        return;
    copy = arena_alloc(arena, bytes);
    a->data = copy;
    if (turn)
        transpose(copy, p, a);
    else if (bytes)
        memcpy(copy, p, bytes);
    if (swap)
        swap_bytes(copy, a->count, a->size);
}

bool npy_parse(const uint8_t *p, size_t n, const char *what, Arena *arena,
               Diag *diag, NpyArray *a)
{
    size_t head = n > MAGIC && p[MAGIC] == 1 ? 10 : 12, length;
    Header h = { 0 };
    bool ok;

    memset(a, 0, sizeof *a);
    if (!npy_is(p, n) || n < head)
        return diag_error(diag, "%s is not a numpy array", what);
    if (p[MAGIC] < 1 || p[MAGIC] > 3)
        return diag_error(diag, "%s: numpy format version %d, 1 to 3 are "
                          "known", what, p[MAGIC]);
    length = p[8] | (size_t)p[9] << 8;
    if (head == 12)
        length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (length > n - head)
        return diag_error(diag, "%s: a header of %zu bytes where %zu are "
                          "left", what, length, n - head);
    h.p = (const char *)p + head;
    h.end = h.p + length;
    ok = parse_header(&h, arena, a);
    if (!ok || !count_elements(a))
        return diag_error(diag, "%s: malformed numpy header", what);
    if (a->problem)
        return true;
    n -= head + length;
    if ((uint64_t)(a->count * a->size) != n)
        return diag_error(diag, "%s: %zu bytes of data, its shape needs %"
                          PRId64, what, n, a->count * a->size);
    take_data(p + head + length, &h, arena, a);
    return true;
}

void npy_write(Buf *b, const NpyArray *a)
{
    size_t start = b->n, text;

    buf_write(b, magic, MAGIC);
    buf_write(b, "\1\0\0\0", 4);
    text = b->n;
    buf_printf(b, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (",
               a->size == 1 ? '|' : '<', a->kind, a->size);
    for (int i = 0; i < a->rank; i++)
        buf_printf(b, i ? ", %" PRId64 : "%" PRId64, a->dim[i]);
    buf_puts(b, a->rank == 1 ? ",), }" : "), }");
    while ((b->n - start + 1) % HEADER_ALIGN)
        buf_putc(b, ' ');
    buf_putc(b, '\n');
    b->s[start + 8] = (char)((b->n - text) & 255);
    b->s[start + 9] = (char)((b->n - text) >> 8);
    buf_write(b, a->data, (size_t)(a->count * a->size));
}
