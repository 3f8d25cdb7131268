/* load.c - a text file to a Model, and messages about the text. */
#include "text.h"

#include <stdio.h>
#include <string.h>

#include "text_parse.h"

static const Token *token_at(Text *t, uint32_t at)
{
    int low = 0, high = t->ntoken;

    for (int i = t->near; i < t->near + 64 && i + 1 < high; i++)
        if (tok(t, i)->start <= at && tok(t, i + 1)->start > at)
            return tok(t, t->near = i);

    while (high - low > 1) {
        int mid = (low + high) / 2;
        if (tok(t, mid)->start <= at)
            low = mid;
        else
            high = mid;
    }
    t->near = low;
    return t->ntoken ? tok(t, low) : NULL;
}

void text_place(Text *t, uint32_t at, int *line, int *column)
{
    enum { LONGEST = 4096 };
    const Token *k = token_at(t, at);
    uint32_t from = k && k->start <= at ? k->start : 0, start = at;

    *line = k && k->start <= at ? (int)k->line : 1;
    for (; from < at && k->kind != END; from++)
        *line += t->s[from] == '\n';
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
    t->s = arena_alloc(t->arena, f->n + 2);     /* flex wants two zeros */
    memcpy(t->s, f->data, f->n);
    t->resynced = -1;
    map_init(&t->constant, t->scratch);
    map_init(&t->file, t->scratch);
}

bool text_read(const char *path, FileBytes bytes, Arena *arena, Diag *diag,
               Model *out)
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

bool text_load(const char *path, Arena *arena, Diag *diag, Model *out)
{
    const char *file = diag->file;
    Arena *scratch = arena_child(arena);
    FileBytes bytes;
    bool ok;

    diag->file = path;
    ok = file_read(path, MAX_TEXT, scratch, diag, &bytes) &&
         text_read(path, bytes, arena, diag, out);
    diag->file = file;
    arena_free(scratch);
    return ok;
}
