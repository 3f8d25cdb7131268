/* options.c - reads the command line by the table options.def. */
#include "options.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../codegen/targets.h"

typedef enum Kind { FLAG, STR, MAYBE, SIZE, LIST } Kind;

typedef struct Row {
    const char *flag;
    Kind kind;
    size_t offset;
    const char *arg, *help;
} Row;

static const Row rows[] = {
#define OPTION(flag, kind, field, arg, help)                              \
    { flag, kind, offsetof(Options, field), arg, help },
#include "options.def"
#undef OPTION
};

enum { NROWS = sizeof rows / sizeof rows[0] };

bool parse_size(const char *s, int64_t *out)
{
    char *end;
    int64_t unit = 1;
    long long n = strtoll(s, &end, 10);

    if (end == s || n < 0)
        return false;
    if (*end == 'K' || *end == 'k')
        unit = 1024;
    else if (*end == 'M' || *end == 'm')
        unit = 1024 * 1024;
    else if (*end == 'G' || *end == 'g')
        unit = 1024 * 1024 * 1024;
    if (unit > 1)
        end++;
    if (end[0] == 'i' && end[1] == 'B')
        end += 2;
    else if (end[0] == 'B')
        end++;
    if (*end || n > INT64_MAX / unit)
        return false;
    *out = n * unit;
    return true;
}

static const Row *find(const char *flag, size_t n)
{
    for (int i = 0; i < NROWS; i++)
        if (strlen(rows[i].flag) == n && !strncmp(rows[i].flag, flag, n))
            return &rows[i];
    return NULL;
}

static void add_string(Strings *l, const char *s, Arena *arena)
{
    Strings old = *l;

    l->v = NEW_ARRAY(arena, const char *, old.n + 1);
    if (old.n)
        memcpy(l->v, old.v, (size_t)old.n * sizeof *l->v);
    l->v[l->n++] = s;
}

static bool set(Options *o, const Row *r, const char *arg, Arena *arena,
                Diag *d)
{
    void *field = (char *)o + r->offset;

    switch (r->kind) {
    case FLAG: *(bool *)field = true; return true;
    case STR: case MAYBE: *(const char **)field = arg; return true;
    case SIZE:
        if (parse_size(arg, field))
            return true;
        return diag_error(d, "%s takes a size such as 320K, not '%s'",
                          r->flag, arg);
    case LIST: add_string(field, arg, arena); return true;
    }
    return false;
}

/* Options that change neither the graph nor its plan; all others do. */
static bool is_outside(const char *flag)
{
    static const char *const list[] = {
        "-o", "--header", "--name", "--flash", "--constants",
        "--inline-weights", "--selftest", "--report", "--report-format",
        "--info", "--run", "--verify", "--per-node", "--list-passes",
        "--list-targets", "--time-passes", "--dump-after", "--dump-change",
        "--prove", "--ops", "--check-plan", "--share-arena",
        "--require-gap", "--plan-time", "-q", "-v", "--color", "--version",
        "--help",
    };

    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(list[i], flag))
            return true;
    return false;
}

static void remember(Options *o, const Row *r, const char *arg, Arena *arena)
{
    Strings old = o->shape;
    bool bare = !arg || (!*arg && r->kind == MAYBE);
    const char *word = bare ? r->flag
                       : arena_printf(arena, "%s=%s", r->flag, arg);

    if (is_outside(r->flag))
        return;
    for (int i = 0; i < old.n; i++)
        if (!strcmp(old.v[i], word))
            return;
    add_string(&o->shape, word, arena);
}

/* What --verify can compare with, and is no model. */
static bool is_expected(const char *path)
{
    const char *dot = path ? strrchr(path, '.') : NULL;
    struct stat st;

    return path && ((dot && !strcmp(dot, ".npz")) ||
                    (!stat(path, &st) && S_ISDIR(st.st_mode)));
}

/* argv[i] is an option; returns how many words it took, 0 after a message */
static int parse_one(Options *o, char **argv, int i, Arena *arena, Diag *d)
{
    const char *word = argv[i], *eq = strchr(word, '=');
    size_t n = eq && word[1] == '-' ? (size_t)(eq - word) : strlen(word);
    const Row *r = find(word, n);
    const char *arg = eq && n < strlen(word) ? eq + 1 : NULL;
    int used = 1;

    if (!r) {
        diag_error(d, "unknown option '%.*s' (see --help)", (int)n, word);
        return 0;
    }
    if (r->kind == FLAG && arg) {
        diag_error(d, "%s takes no argument", r->flag);
        return 0;
    }
    if (r->kind == MAYBE && !arg) {
        arg = "";
        if (!strcmp(r->flag, "--verify") && is_expected(argv[i + 1])) {
            arg = argv[i + 1];
            used = 2;
        } else if (argv[i + 1] && argv[i + 1][0] != '-') {
            o->flag = r->flag;
            o->behind = argv[i + 1];
        }
    } else if (r->kind != FLAG && !arg) {
        arg = argv[i + 1];
        used = 2;
        if (!arg) {
            diag_error(d, "%s needs an argument: %s", r->flag, r->arg);
            return 0;
        }
    }
    if (!set(o, r, arg, arena, d))
        return 0;
    remember(o, r, arg, arena);
    return used;
}

static bool one_of(const char *value, const char *names, const char *flag,
                   Diag *d)
{
    size_t n = value ? strlen(value) : 0;

    for (const char *p = names; value && *p; p += strcspn(p, "|") +
                                                   (strchr(p, '|') != NULL))
        if (strcspn(p, "|") == n && !strncmp(p, value, n))
            return true;
    return !value || diag_error(d, "%s takes %s, not '%s'", flag, names,
                                value);
}

bool is_c_keyword(const char *s)
{
    static const char *const words[] = {
        "auto", "bool", "break", "case", "catch", "char", "class", "const",
        "continue", "default", "delete", "do", "double", "else", "enum",
        "explicit", "export", "extern", "false", "float", "for", "friend",
        "goto", "if", "inline", "int", "long", "mutable", "namespace", "new",
        "operator", "private", "protected", "public", "register", "restrict",
        "return", "short", "signed", "sizeof", "static", "struct", "switch",
        "template", "this", "throw", "true", "try", "typedef", "typename",
        "union", "unsigned", "using", "virtual", "void", "volatile", "while",
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i], s))
            return true;
    return false;
}

bool is_c_identifier(const char *s)
{
    if (!isalpha((unsigned char)*s) && *s != '_')
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_')
            return false;
    return true;
}

static bool check_quantize(const Options *o, Diag *d)
{
    if (!o->quantize && (o->weights || o->residual))
        return diag_error(d, "%s needs --quantize int8",
                          o->weights ? "--weights" : "--residual");
    if (!o->quantize && !o->low_rank && o->calib)
        return diag_error(d, "--calib needs --quantize int8 or --low-rank");
    if (!o->calib && (o->weights || o->residual))
        return diag_error(d, "%s needs --calib",
                          o->weights ? "--weights" : "--residual");
    return one_of(o->quantize, "int8", "--quantize", d) &&
           one_of(o->weights, "int8|int4|float", "--weights", d) &&
           one_of(o->residual, "auto|int8|int16", "--residual", d);
}

bool parse_number(const char *s, double *out)
{
    char *end;

    *out = strtod(s, &end);
    return end != s && !*end && *out >= 0 && *out < 1e9;
}

static bool check_plan_options(const Options *o, Diag *d)
{
    double x;

    if (o->require_gap && !parse_number(o->require_gap, &x))
        return diag_error(d, "--require-gap takes a percentage such as 0 or "
                          "2.5, not '%s'", o->require_gap);
    if (o->plan_time && (!parse_number(o->plan_time, &x) || x == 0))
        return diag_error(d, "--plan-time takes seconds such as 0.5, not "
                          "'%s'", o->plan_time);
    if (o->max_macs && (!parse_number(o->max_macs, &x) || x < 1))
        return diag_error(d, "--max-macs takes a factor such as 1.2, at "
                          "least 1, not '%s'", o->max_macs);
    return true;
}

/* A,B: no name may be missing. */
static bool are_names(const char *s)
{
    for (;; s++) {
        size_t n = strcspn(s, ",");
        if (!n)
            return false;
        s += n;
        if (!*s)
            return true;
    }
}

static bool check_models(const Options *o, Diag *d)
{
    if (o->more.n && !o->share_arena) {
        diag_error(d, "one model at a time: '%s' and '%s'", o->model,
                   o->more.v[0]);
        if (o->flag)
            diag_hint(d, "an argument of %s takes '=': %s=%s", o->flag,
                      o->flag, o->behind);
        else
            diag_hint(d, "--share-arena compiles several into one file");
        return false;
    }
    if (o->share_arena && !o->more.n)
        return diag_error(d, "--share-arena takes two models or more");
    return true;
}

/* Those files hold the model's own boundary, before --io has changed it. */
static bool check_io(const Options *o, Diag *d)
{
    const char *dot = o->output ? strrchr(o->output, '.') : NULL;

    if (!one_of(o->io, "declared|quantized|float", "--io", d))
        return false;
    if (!o->io || o->run || o->dump_after || !dot ||
        (strcmp(dot, ".mcu") && strcmp(dot, ".onnx")))
        return true;
    diag_error(d, "--io does not change what -o '%s' holds", o->output);
    diag_hint(d, "give it when that file is compiled");
    return false;
}

static bool check(const Options *o, Diag *d)
{
    if (!check_models(o, d))
        return false;
    if (o->outputs && !are_names(o->outputs))
        return diag_error(d, "--outputs takes names, A,B, not '%s'",
                          o->outputs);
    if (o->name && !is_c_identifier(o->name))
        return diag_error(d, "--name '%s' is not a C identifier", o->name);
    if (o->target && !target_by_name(o->target)) {
        diag_error(d, "--target '%s' is not known", o->target);
        diag_hint(d, "mcufc --list-targets");
        return false;
    }
    if (!check_quantize(o, d) || !check_plan_options(o, d))
        return false;
    return check_io(o, d) &&
           one_of(o->optimize, "ram|balanced|speed", "--optimize", d) &&
           one_of(o->constants, "fast|list", "--constants", d) &&
           one_of(o->report_format, "text|json|html", "--report-format", d);
}

bool options_parse(Options *o, int argc, char **argv, Arena *arena,
                   Diag *diag)
{
    memset(o, 0, sizeof *o);
    o->arena = o->flash = o->bisect = -1;
    for (int i = 1; i < argc;) {
        int used = 1;
        if (argv[i][0] == '-' && argv[i][1]) {
            used = parse_one(o, argv, i, arena, diag);
            if (!used)
                return false;
        } else if (o->model) {
            add_string(&o->more, argv[i], arena);
        } else {
            o->model = argv[i];
        }
        i += used;
    }
    return check(o, diag);
}

bool options_add(Options *o, const char *word, Arena *arena, Diag *diag)
{
    char *argv[] = { arena_strdup(arena, word), NULL };
    const char *eq = strchr(word, '=');
    const Row *r = find(word, eq ? (size_t)(eq - word) : strlen(word));

    for (int i = 0; i < o->shape.n; i++)
        if (!strcmp(o->shape.v[i], word))
            return true;
    if (r && is_outside(r->flag))
        return diag_error(diag, "option '%s' has no place here", word);
    return parse_one(o, argv, 0, arena, diag) && check(o, diag);
}

void options_help(FILE *out)
{
    fputs("usage: mcufc MODEL.onnx -o MODEL.c [options]\n\n"
          "Compiles a trained network to one self-contained C file whose\n"
          "activations live in one arena with static offsets.\n\n", out);
    for (int i = 0; i < NROWS; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s", rows[i].flag,
                 rows[i].kind == FLAG ? ""
                     : rows[i].kind == MAYBE ? "[=" : " ",
                 rows[i].arg, rows[i].kind == MAYBE ? "]" : "");
        fprintf(out, "  %-28s %s\n", left, rows[i].help);
    }
    fputs("\nexit: 0 ok, 1 bad model or file, 2 usage, 3 a bug of ours,\n"
          "4 over a budget, 5 --verify found a difference\n", out);
}
