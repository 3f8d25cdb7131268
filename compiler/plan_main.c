/* plan_main.c - mcufc-plan: the allocator of mcufc on its own. Reads buffers
 * from CSV, finds offsets within a capacity or as low as possible, and says
 * whether that is proved to be the best. The format is MiniMalloc's
 * (github.com/google/minimalloc), so that both run on the same files. */
#include "../passes/dsa.h"
#include "../support/arena.h"
#include "../support/buf.h"
#include "../support/map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VERSION "0.1"

enum Exit {
    EXIT_SOLVED = 0, EXIT_BAD_FILE = 1, EXIT_USAGE = 2, EXIT_MEMORY = 3,
    EXIT_INFEASIBLE = 4, EXIT_UNDECIDED = 6
};

static const char help[] =
"usage: mcufc-plan FILE.csv --capacity N [options]\n"
"       mcufc-plan FILE.csv --minimize [options]\n"
"\n"
"Gives each buffer an offset so that buffers which live at the same time\n"
"share no bytes. FILE.csv: a line with the column names id,lower,upper,size\n"
"and optionally alignment (any order), then one buffer per line, which lives\n"
"in [lower, upper). A column named offset is ignored. '-' reads stdin.\n"
"\n"
"  --capacity N   find a plan of at most N bytes\n"
"  --minimize     find the lowest plan\n"
"  --time S       stop the search after S seconds\n"
"  --nodes N      stop after N search nodes (default 1000000); without\n"
"                 --time the answer is the same on every machine\n"
"  -o FILE        write the buffers with their offsets ('-': stdout)\n"
"  --help, --version\n"
"\n"
"Exit: 0 solved, 1 bad file, 2 usage, 3 out of memory, 4 proved that no\n"
"plan fits, 6 undecided within the limits.\n";

typedef struct Args {
    const char *file, *out;
    int64_t capacity;
    bool minimize;
    double seconds;
    long nodes;
} Args;

typedef struct Row {
    const char *id;
    DsaBuf buf;
} Row;

enum Column { C_ID, C_LOWER, C_UPPER, C_SIZE, C_ALIGN, C_OFFSET, NCOLUMNS };

static const char *const column_name[NCOLUMNS] = {
    "id", "lower", "upper", "size", "alignment", "offset"
};

typedef struct Table {
    Arena *arena;
    const char *file;
    int line;
    int at[NCOLUMNS];           /* where each column is; -1: not there */
    int nfield;
    Row *row;
    int n, cap;
    Map ids;
    int64_t sum;                /* of sizes and alignments */
} Table;

static bool __attribute__((format(printf, 2, 3)))
bad(const Table *t, const char *fmt, ...)
{
    va_list ap;

    if (t->line)
        fprintf(stderr, "%s:%d: error: ", t->file, t->line);
    else
        fprintf(stderr, "%s: error: ", t->file);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return false;
}

/* Cuts the line at its commas and strips blanks. */
static int split(char *s, char **field, int max)
{
    int n = 0;

    while (s) {
        char *next = strchr(s, ',');
        size_t len;
        if (next)
            *next++ = 0;
        s += strspn(s, " \t");
        len = strlen(s);
        while (len && strchr(" \t\r\n", s[len - 1]))
            s[--len] = 0;
        if (n < max)
            field[n] = s;
        n++;
        s = next;
    }
    return n;
}

static bool read_header(Table *t, char **field, int n)
{
    t->nfield = n;
    for (int c = 0; c < NCOLUMNS; c++)
        t->at[c] = -1;
    for (int i = 0; i < n; i++) {
        int c = 0;
        while (c < NCOLUMNS && strcmp(field[i], column_name[c]))
            c++;
        if (c == NCOLUMNS)
            return bad(t, "unknown column '%s'", field[i]);
        if (t->at[c] >= 0)
            return bad(t, "column '%s' twice", field[i]);
        t->at[c] = i;
    }
    for (int c = C_ID; c <= C_SIZE; c++)
        if (t->at[c] < 0)
            return bad(t, "column '%s' is missing", column_name[c]);
    return true;
}

static bool read_number(const Table *t, char **field, int c, int64_t *out)
{
    const char *s = field[t->at[c]];
    char *end;
    long long v;

    errno = 0;
    v = strtoll(s, &end, 10);
    if (*s == 0 || *end)
        return bad(t, "%s '%s' is not a number", column_name[c], s);
    if (errno == ERANGE)
        return bad(t, "%s '%s' does not fit 64 bits", column_name[c], s);
    if (v < 0)
        return bad(t, "%s %lld is negative", column_name[c], v);
    *out = v;
    return true;
}

static bool read_row(Table *t, char **field, int n)
{
    Row r = { .buf = { .align = 1, .fixed_offset = -1 } };
    DsaBuf *b = &r.buf;

    if (n != t->nfield)
        return bad(t, "%d fields, %d columns", n, t->nfield);
    if (!read_number(t, field, C_LOWER, &b->lower) ||
        !read_number(t, field, C_UPPER, &b->upper) ||
        !read_number(t, field, C_SIZE, &b->size) ||
        (t->at[C_ALIGN] >= 0 && !read_number(t, field, C_ALIGN, &b->align)))
        return false;
    if (b->lower >= b->upper)
        return bad(t, "lower %" PRId64 " is not below upper %" PRId64,
                   b->lower, b->upper);
    if (b->align == 0)
        return bad(t, "alignment 0");
    if (b->size > INT64_MAX / 8 - t->sum ||
        b->align > INT64_MAX / 8 - t->sum - b->size)
        return bad(t, "the sizes add up to more than 2^60");
    t->sum += b->size + b->align;
    r.id = arena_strdup(t->arena, field[t->at[C_ID]]);
    if (*r.id == 0)
        return bad(t, "the id is empty");
    if (map_put(&t->ids, r.id, t))
        return bad(t, "id '%s' twice", r.id);
    PUSH(t->arena, t->row, t->n, t->cap, r);
    return true;
}

static bool read_line(Table *t, char *line, size_t len)
{
    char *field[NCOLUMNS] = { 0 };
    int n;

    t->line++;
    if (strlen(line) != len)
        return bad(t, "a zero byte");
    if (line[strspn(line, " \t\r\n")] == 0)
        return true;
    n = split(line, field, NCOLUMNS);
    if (n > NCOLUMNS)
        return bad(t, "%d fields, at most %d are known", n, NCOLUMNS);
    return t->nfield ? read_row(t, field, n) : read_header(t, field, n);
}

static bool read_stream(FILE *f, Buf *b)
{
    char block[65536];
    size_t n;

    while ((n = fread(block, 1, sizeof block, f)) > 0)
        buf_write(b, block, n);
    return !ferror(f);
}

static bool read_table(Table *t)
{
    bool use_stdin = strcmp(t->file, "-") == 0, ok;
    FILE *f = use_stdin ? stdin : fopen(t->file, "rb");
    Buf text;
    char *s, *end;

    if (!f)
        return bad(t, "cannot open: %s", strerror(errno));
    buf_init(&text, t->arena);
    ok = read_stream(f, &text);
    if (!use_stdin)
        fclose(f);
    if (!ok)
        return bad(t, "cannot read: %s", strerror(errno));
    s = text.s;
    end = s + text.n;
    while (s && s < end) {
        char *nl = memchr(s, '\n', (size_t)(end - s));
        size_t len = (size_t)((nl ? nl : end) - s);
        s[len] = 0;
        if (!read_line(t, s, len))
            return false;
        s += len + 1;
    }
    if (!t->nfield)
        return bad(t, "no line with the column names");
    return true;
}

static bool write_table(const Table *t, const char *path)
{
    bool use_stdout = strcmp(path, "-") == 0, ok;
    FILE *f = use_stdout ? stdout : fopen(path, "wb");
    bool align = t->at[C_ALIGN] >= 0;

    if (!f) {
        fprintf(stderr, "%s: error: cannot write: %s\n", path,
                strerror(errno));
        return false;
    }
    fprintf(f, "id,lower,upper,size,%soffset\n", align ? "alignment," : "");
    for (int i = 0; i < t->n; i++) {
        const DsaBuf *b = &t->row[i].buf;
        fprintf(f, "%s,%" PRId64 ",%" PRId64 ",%" PRId64 ",", t->row[i].id,
                b->lower, b->upper, b->size);
        if (align)
            fprintf(f, "%" PRId64 ",", b->align);
        fprintf(f, "%" PRId64 "\n", b->offset);
    }
    ok = !ferror(f);
    ok = (use_stdout ? fflush(f) : fclose(f)) == 0 && ok;
    if (!ok)
        fprintf(stderr, "%s: error: cannot write: %s\n", path,
                strerror(errno));
    return ok;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static enum Exit solve(Table *t, const Args *a, Arena *scratch)
{
    static const char *const word[] = { "solved", "infeasible", "undecided" };
    static const enum Exit code[] = { EXIT_SOLVED, EXIT_INFEASIBLE,
                                      EXIT_UNDECIDED };
    DsaProblem p = { NEW_ARRAY(t->arena, DsaBuf, t->n + 1), t->n, NULL, 0 };
    DsaOptions o = { a->capacity, a->nodes, a->seconds };
    bool to_stdout = a->out && strcmp(a->out, "-") == 0;
    double start = now();
    DsaResult r;

    for (int i = 0; i < t->n; i++)
        p.buf[i] = t->row[i].buf;
    dsa_solve(&p, &o, scratch, &r);
    for (int i = 0; i < t->n; i++)
        t->row[i].buf = p.buf[i];
    fprintf(to_stdout ? stderr : stdout,
            "%s height=%" PRId64 " lower_bound=%" PRId64 " proved=%s"
            " buffers=%d max_live=%" PRId64 " at=%" PRId64
            " nodes=%ld ms=%.1f\n", word[r.status], r.height, r.lower_bound,
            r.proved ? "yes" : "no", t->n, r.max_live, r.bound_time, r.nodes,
            (now() - start) * 1e3);
    if (a->out && r.status == DSA_SOLVED && !write_table(t, a->out))
        return EXIT_BAD_FILE;
    return code[r.status];
}

static enum Exit usage(const char *what, const char *arg)
{
    fprintf(stderr, "mcufc-plan: error: %s%s%s\n", what, arg ? " " : "",
            arg ? arg : "");
    fprintf(stderr, "hint: mcufc-plan --help\n");
    return EXIT_USAGE;
}

static bool positive(const char *s, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(s, &end, 10);
    return *s && !*end && errno == 0 && *out > 0;
}

static bool positive_real(const char *s, double *out)
{
    char *end;

    *out = strtod(s, &end);
    return *s && !*end && *out > 0 && *out < 1e9;
}

/* Options with a value. -1: it is none of them. */
static int read_option(Args *a, const char *name, const char *value)
{
    int64_t n = 0;
    bool ok;

    if (strcmp(name, "--capacity") == 0) {
        ok = value && positive(value, &a->capacity);
    } else if (strcmp(name, "--nodes") == 0) {
        ok = value && positive(value, &n) && n <= INT32_MAX;
        a->nodes = (long)n;
    } else if (strcmp(name, "--time") == 0) {
        ok = value && positive_real(value, &a->seconds);
    } else if (strcmp(name, "-o") == 0) {
        ok = value != NULL;
        a->out = value;
    } else {
        return -1;
    }
    return ok;
}

static enum Exit read_args(Args *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *s = argv[i];
        int ok;
        if (strcmp(s, "--minimize") == 0) {
            a->minimize = true;
        } else if (s[0] != '-' || s[1] == 0) {
            if (a->file)
                return usage("more than one file:", s);
            a->file = s;
        } else if ((ok = read_option(a, s, argv[i + 1])) < 0) {
            return usage("unknown option", s);
        } else if (!ok) {
            return usage("a positive number or a name must follow", s);
        } else {
            i++;
        }
    }
    if (!a->file)
        return usage("no file", NULL);
    if (a->minimize == (a->capacity > 0))
        return usage("either --capacity N or --minimize", NULL);
    return EXIT_SOLVED;
}

static enum Exit plan(const Args *a)
{
    ArenaOom oom = { 0 };
    Table t = { .file = a->file };
    enum Exit code;
    Arena *arena, *scratch;

    if (setjmp(oom.handler)) {
        fprintf(stderr, "mcufc-plan: error: out of memory (%zu bytes)\n",
                oom.wanted);
        return EXIT_MEMORY;
    }
    arena = arena_new(&oom);
    scratch = arena_new(&oom);
    t.arena = arena;
    map_init(&t.ids, arena);
    if (!read_table(&t))
        code = EXIT_BAD_FILE;
    else
        code = solve(&t, a, scratch);
    arena_free(scratch);
    arena_free(arena);
    return code;
}

int main(int argc, char **argv)
{
    Args a = { 0 };
    enum Exit code;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return fputs(help, stdout) < 0;
        if (strcmp(argv[i], "--version") == 0)
            return puts("mcufc-plan " VERSION) < 0;
    }
    code = read_args(&a, argc, argv);
    if (code == EXIT_SOLVED)
        code = plan(&a);
    return (int)code;
}
