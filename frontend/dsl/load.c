/* load.c - a text file to a Model, and messages about the text. */
#include "text.h"

#include <stdio.h>
#include <string.h>

#include "text_parse.h"

uint32_t token_end(const Text *t, const Token *k)
{
    int low = 0, high = t->nlonger;

    if (k->bytes != LONG_TOKEN)
        return k->start + k->bytes;
    while (high - low > 1) {
        int mid = (low + high) / 2;
        if (t->longer[mid].start <= k->start)
            low = mid;
        else
            high = mid;
    }
    return t->longer[low].end;
}

/* Lines are counted from the place that was asked for last: nodes ask in the
 * order of the text. */
void text_place(Text *t, uint32_t at, int *line, int *column)
{
    enum { LONGEST = 4096 };
    uint32_t from = t->place < at ? t->place : at, start = at;
    uint32_t to = t->place < at ? at : t->place;
    const char *s = t->s + from, *end = t->s + to;
    int lines = 0;

    while ((s = memchr(s, '\n', (size_t)(end - s)))) {
        s++;
        lines++;
    }
    t->place_line += t->place < at ? lines : -lines;
    t->place = at;
    *line = t->place_line;
    while (start > 0 && t->s[start - 1] != '\n' && at - start < LONGEST)
        start--;
    *column = at - start < LONGEST ? (int)(at - start) + 1 : 0;
}

bool text_error(Text *t, Span at, const char *fmt, ...)
{
    Diag *d = t->diag;
    char text[1024];
    va_list ap;

    for (int i = 0; i < t->errors; i++)
        if (t->error_at[i] == at.start)
            return false;
    if (t->errors == MAX_ERRORS) {
        t->fatal = true;
        return false;
    }
    t->error_at[t->errors++] = at.start;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text_place(t, at.start, &d->line, &d->column);
    d->width = (int)(at.end - at.start);
    diag_error(d, "%s", text);
    d->line = d->column = d->width = 0;
    return false;
}

void text_hint(Text *t, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!t->fatal)
        diag_hint(t->diag, "%s", text);
}

static void hash_bytes(const FileBytes *f, uint32_t hash[2])
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < f->n; i++)
        h = (h ^ f->data[i]) * UINT64_C(1099511628211);
    hash[0] = (uint32_t)(h >> 32);
    hash[1] = (uint32_t)h;
}

static void text_init(Text *t, const FileBytes *f)
{
    t->n = f->n;
    t->s = (char *)f->data;
    t->resynced = -1;
    t->place_line = 1;
    map_init(&t->constant, t->scratch);
    map_init(&t->file, t->scratch);
}

/* bytes: of the arena, with two zeros behind them for flex. */
static bool read_text(const char *path, FileBytes bytes, Arena *arena,
                      Diag *diag, Model *out)
{
    Text *t = NEW(arena, Text);
    bool ok;

    memset(out, 0, sizeof *out);
    t->arena = arena;
    t->scratch = arena_child(arena);
    t->diag = diag;
    t->path = path;
    t->model = out;
    hash_bytes(&bytes, out->hash);
    text_init(t, &bytes);
    diag->source = t->s;        /* for messages about nodes, too */
    diag->source_n = t->n;
    ok = text_tokens(t) && text_yypparse(t) == 0 && !t->errors;
    arena_free(t->scratch);
    return ok;
}

bool text_read(const char *path, FileBytes bytes, Arena *arena, Diag *diag,
               Model *out)
{
    FileBytes copy = { arena_alloc(arena, bytes.n + 2), bytes.n };

    memcpy(copy.data, bytes.data, bytes.n);
    return read_text(path, copy, arena, diag, out);
}

bool text_load(const char *path, Arena *arena, Diag *diag, Model *out)
{
    const char *file = diag->file;
    FileBytes bytes;
    bool ok;

    diag->file = path;
    ok = file_read(path, MAX_TEXT, arena, diag, &bytes) &&
         read_text(path, bytes, arena, diag, out);
    diag->file = file;
    return ok;
}
