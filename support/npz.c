/* npz.c - the zip around numpy arrays. The central directory at the end of
 * the file is what counts; sizes there are checked against the file before
 * anything is allocated. Layout: PKWARE's APPNOTE 6.3. */
#include "npz.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

#include "file.h"
#include "map.h"

enum {
    SIG_LOCAL = 0x04034b50, SIG_ENTRY = 0x02014b50, SIG_END = 0x06054b50,
    SIG_END64 = 0x06064b50, SIG_LOCATOR64 = 0x07064b50,
    LOCAL = 30, ENTRY = 46, END = 22, END64 = 56, LOCATOR64 = 20,
    STORED = 0, DEFLATED = 8,
    MAX_RATIO = 1032,           /* deflate never shrinks by more */
};

typedef struct Member {
    const char *name;
    uint64_t packed, size, offset;      /* bytes; of the local header */
    uint32_t crc;
    unsigned method, flags;
} Member;

typedef struct Zip {
    const uint8_t *p;
    uint64_t n;
    Arena *arena, *scratch;
    Diag *diag;
    uint64_t count, at, end;    /* of the central directory */
} Zip;

static uint64_t get(const uint8_t *p, int bytes)
{
    uint64_t v = 0;

    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static bool corrupt(const Zip *z, const char *what)
{
    return diag_error(z->diag, "not a valid .npz file: %s", what);
}

/* 64-bit count, size and offset of the directory, where 32 bits are full. */
static bool find_end64(Zip *z, uint64_t end)
{
    const uint8_t *p;
    uint64_t at;

    if (end < LOCATOR64 || get(z->p + end - LOCATOR64, 4) != SIG_LOCATOR64)
        return true;
    at = get(z->p + end - LOCATOR64 + 8, 8);
    if (z->n < END64 || at > z->n - END64 || get(z->p + at, 4) != SIG_END64)
        return corrupt(z, "bad zip64 directory");
    p = z->p + at;
    z->count = get(p + 32, 8);
    z->end = get(p + 40, 8);
    z->at = get(p + 48, 8);
    return true;
}

static bool find_directory(Zip *z)
{
    uint64_t end, size;

    if (z->n < END)
        return corrupt(z, "too short for a zip");
    for (end = z->n - END; get(z->p + end, 4) != SIG_END; end--)
        if (end == 0 || z->n - end > 65535 + END)
            return corrupt(z, "no directory at its end; is it cut short?");
    z->count = get(z->p + end + 10, 2);
    z->end = get(z->p + end + 12, 4);
    z->at = get(z->p + end + 16, 4);
    if (!find_end64(z, end))
        return false;
    size = z->end;
    if (z->at > z->n || size > z->n - z->at)
        return corrupt(z, "its directory lies outside of it");
    z->end = z->at + size;
    if (z->count > size / ENTRY || z->count > INT_MAX)
        return corrupt(z, "its directory is too short");
    return true;
}

/* The zip64 extra field: those of the three values that are full. */
static bool read_extra(Member *m, const uint8_t *p, uint64_t n)
{
    uint64_t *full[3] = { &m->size, &m->packed, &m->offset };

    while (n >= 4) {
        uint64_t id = get(p, 2), size = get(p + 2, 2);
        p += 4;
        n -= 4;
        if (size > n)
            return false;
        for (int i = 0; id == 1 && i < 3; i++)
            if (*full[i] == UINT32_MAX) {
                if (size < 8)
                    return false;
                *full[i] = get(p, 8);
                p += 8;
                n -= 8;
                size -= 8;
            }
        p += size;
        n -= size;
    }
    return true;
}

static bool read_entry(Zip *z, Member *m)
{
    const uint8_t *p = z->p + z->at;
    uint64_t name, extra, comment;

    if (z->end - z->at < ENTRY || get(p, 4) != SIG_ENTRY)
        return corrupt(z, "bad directory entry");
    name = get(p + 28, 2);
    extra = get(p + 30, 2);
    comment = get(p + 32, 2);
    if (name + extra + comment > z->end - z->at - ENTRY)
        return corrupt(z, "bad directory entry");
    m->flags = (unsigned)get(p + 8, 2);
    m->method = (unsigned)get(p + 10, 2);
    m->crc = (uint32_t)get(p + 16, 4);
    m->packed = get(p + 20, 4);
    m->size = get(p + 24, 4);
    m->offset = get(p + 42, 4);
    m->name = arena_strndup(z->arena, (const char *)p + ENTRY, name);
    z->at += ENTRY + name + extra + comment;
    return read_extra(m, p + ENTRY + name, extra) ||
           corrupt(z, "bad zip64 sizes");
}

/* Where the member's packed bytes are. */
static bool find_bytes(const Zip *z, const Member *m, const uint8_t **bytes)
{
    uint64_t at = m->offset, skip;

    if (z->n < LOCAL || at > z->n - LOCAL ||
        get(z->p + at, 4) != SIG_LOCAL)
        return diag_error(z->diag, "array '%s' is not where the .npz says",
                          m->name);
    skip = LOCAL + get(z->p + at + 26, 2) + get(z->p + at + 28, 2);
    if (skip > z->n - at || m->packed > z->n - at - skip)
        return diag_error(z->diag, "array '%s' runs past the end of the "
                          "file", m->name);
    *bytes = z->p + at + skip;
    return true;
}

/* Inflates into out[m->size]; true when that is exactly what comes out. */
static bool inflate_bytes(const Member *m, const uint8_t *in, uint8_t *out)
{
    z_stream s = { 0 };
    uint64_t in_left = m->packed, out_left = m->size;
    int rc = inflateInit2(&s, -MAX_WBITS);

    s.next_in = (uint8_t *)in;
    s.next_out = out;
    while (rc == Z_OK) {
        uInt give = in_left > 1 << 30 ? 1 << 30 : (uInt)in_left;
        uInt room = out_left > 1 << 30 ? 1 << 30 : (uInt)out_left;
        s.avail_in = give;
        s.avail_out = room;
        rc = inflate(&s, Z_NO_FLUSH);
        in_left -= give - s.avail_in;
        out_left -= room - s.avail_out;
    }
    inflateEnd(&s);
    return rc == Z_STREAM_END && !in_left && !out_left;
}

static bool crc_is(const uint8_t *p, uint64_t n, uint32_t want)
{
    uLong crc = crc32(0, NULL, 0);

    while (n) {
        uInt some = n > 1 << 30 ? 1 << 30 : (uInt)n;
        crc = crc32(crc, p, some);
        p += some;
        n -= some;
    }
    return (uint32_t)crc == want;
}

static bool unpack(const Zip *z, const Member *m, const uint8_t **out)
{
    const uint8_t *in = NULL;
    uint8_t *to;
    bool ok;

    if (m->flags & 1)
        return diag_error(z->diag, "array '%s' is encrypted", m->name);
    if (m->method != STORED && m->method != DEFLATED)
        return diag_error(z->diag, "array '%s' is packed by method %u; stored "
                          "and deflated are known", m->name, m->method);
    if (!find_bytes(z, m, &in))
        return false;
    ok = m->method == STORED ? m->size == m->packed
                             : m->size / MAX_RATIO <= m->packed + 1;
    if (ok) {
        to = arena_alloc(z->arena, m->size);
        if (m->method == DEFLATED)
            ok = inflate_bytes(m, in, to);
        else if (m->size)
            memcpy(to, in, m->size);
        ok = ok && crc_is(to, m->size, m->crc);
        *out = to;
    }
    return ok || diag_error(z->diag, "array '%s' is damaged", m->name);
}

static bool read_member(Zip *z, Map *names, NpyFile *f)
{
    NpyArray *a = &f->array[f->n];
    const uint8_t *p = NULL;
    size_t len;
    Member m = { 0 };

    if (!read_entry(z, &m))
        return false;
    len = strlen(m.name);
    if (len < 4 || strcmp(m.name + len - 4, ".npy"))
        return true;            /* something else that lies in the zip */
    ((char *)m.name)[len - 4] = 0;
    if (map_put(names, m.name, z))
        return diag_error(z->diag, "two arrays are called '%s'", m.name);
    if (!unpack(z, &m, &p) ||
        !npy_parse(p, (size_t)m.size,
                   arena_printf(z->scratch, "array '%s'", m.name), z->arena,
                   z->diag, a))
        return false;
    a->name = m.name;
    f->n++;
    return true;
}

static bool load_zip(Zip *z, NpyFile *f)
{
    Map names;

    if (!find_directory(z))
        return false;
    map_init(&names, z->scratch);
    f->is_npz = true;
    f->array = NEW_ARRAY(z->arena, NpyArray, z->count);
    for (uint64_t i = 0; i < z->count; i++)
        if (!read_member(z, &names, f))
            return false;
    return true;
}

static bool load_file(const char *path, Arena *arena, Arena *scratch,
                      Diag *diag, NpyFile *f)
{
    Zip z = { .arena = arena, .scratch = scratch, .diag = diag };
    FileBytes file;

    if (!file_read(path, SIZE_MAX / 8, scratch, diag, &file))
        return false;
    z.p = file.data;
    z.n = file.n;
    if (file.n >= 2 && !memcmp(file.data, "PK", 2))
        return load_zip(&z, f);
    f->array = NEW(arena, NpyArray);
    f->n = 1;
    if (!npy_parse(file.data, file.n, "the file", arena, diag, f->array))
        return false;
    f->array->name = "";
    return true;
}

bool npz_load(const char *path, Arena *arena, Diag *diag, NpyFile *out)
{
    const char *shown = diag->file;
    Arena *scratch = arena_child(arena);
    bool ok;

    memset(out, 0, sizeof *out);
    diag->file = path;
    ok = load_file(path, arena, scratch, diag, out);
    diag->file = shown;
    if (!ok || out->is_npz)     /* a .npy's data stay in the file's bytes */
        arena_free(scratch);
    return ok;
}

const NpyArray *npz_find(const NpyFile *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->array[i].name, name))
            return &f->array[i];
    return NULL;
}

static void put(Buf *b, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buf_putc(b, (char)(v >> 8 * i & 255));
}

static uint64_t low32(uint64_t v)
{
    return v < UINT32_MAX ? v : UINT32_MAX;
}

/* Fields that a local header and a directory entry have in common, from
 * "version needed" to the length of the name. */
static void put_common(Buf *b, const Member *m)
{
    put(b, 45, 2);              /* version needed: zip64 */
    put(b, 0x800, 2);           /* the name is UTF-8 */
    put(b, STORED, 2);
    put(b, 0, 2);               /* midnight */
    put(b, 33, 2);              /* 1 January 1980 */
    put(b, m->crc, 4);
    put(b, low32(m->size), 4);
    put(b, low32(m->size), 4);
    put(b, strlen(m->name) + 4, 2);
}

static void put_member(Buf *b, const NpyArray *a, Member *m, Buf *scratch)
{
    bool large;

    buf_clear(scratch);
    npy_write(scratch, a);
    m->name = a->name;
    m->offset = b->n;
    m->size = scratch->n;
    m->crc = (uint32_t)crc32_z(0, (const Bytef *)scratch->s, scratch->n);
    large = m->size >= UINT32_MAX;
    put(b, SIG_LOCAL, 4);
    put_common(b, m);
    put(b, large ? 20 : 0, 2);
    buf_printf(b, "%s.npy", a->name);
    if (large) {
        put(b, 1, 2);
        put(b, 16, 2);
        put(b, m->size, 8);
        put(b, m->size, 8);
    }
    buf_write(b, scratch->s, scratch->n);
}

static void put_entry(Buf *b, const Member *m)
{
    bool large = m->size >= UINT32_MAX, far = m->offset >= UINT32_MAX;
    int extra = large * 16 + far * 8;

    put(b, SIG_ENTRY, 4);
    put(b, 45, 2);
    put_common(b, m);
    put(b, extra ? (uint64_t)extra + 4 : 0, 2);
    put(b, 0, 2);               /* comment */
    put(b, 0, 8);               /* disk, attributes */
    put(b, low32(m->offset), 4);
    buf_printf(b, "%s.npy", m->name);
    if (extra) {
        put(b, 1, 2);
        put(b, (uint64_t)extra, 2);
    }
    if (large) {
        put(b, m->size, 8);
        put(b, m->size, 8);
    }
    if (far)
        put(b, m->offset, 8);
}

static void put_end(Buf *b, uint64_t n, uint64_t start)
{
    uint64_t end = b->n, size = end - start;
    bool full = n >= UINT16_MAX || size >= UINT32_MAX || start >= UINT32_MAX;

    if (full) {
        put(b, SIG_END64, 4);
        put(b, END64 - 12, 8);
        put(b, 45, 2);
        put(b, 45, 2);
        put(b, 0, 8);
        put(b, n, 8);
        put(b, n, 8);
        put(b, size, 8);
        put(b, start, 8);
        put(b, SIG_LOCATOR64, 4);
        put(b, 0, 4);
        put(b, end, 8);
        put(b, 1, 4);
    }
    put(b, SIG_END, 4);
    put(b, 0, 4);
    put(b, n < UINT16_MAX ? n : UINT16_MAX, 2);
    put(b, n < UINT16_MAX ? n : UINT16_MAX, 2);
    put(b, low32(size), 4);
    put(b, low32(start), 4);
    put(b, 0, 2);
}

void npz_write(Buf *b, int n, const NpyArray *a)
{
    Arena *scratch = arena_child(b->arena);
    Member *m = NEW_ARRAY(scratch, Member, n);
    uint64_t start;
    Buf one;

    buf_init(&one, scratch);
    for (int i = 0; i < n; i++)
        put_member(b, &a[i], &m[i], &one);
    start = b->n;
    for (int i = 0; i < n; i++)
        put_entry(b, &m[i]);
    put_end(b, (uint64_t)n, start);
    arena_free(scratch);
}
