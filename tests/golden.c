/* golden.c - runs golden tests in the manner of LLVM's lit and FileCheck.
 *
 * A golden test is a file with comments that say what to run and what must
 * come out; doc/testing.md has the words:
 *     # RUN: mcufc %s --dump-after=dce
 *     # CHECK: y = Relu (x)
 * usage: golden [-v] MCUFC FOLDER_OR_FILE...
 */
#include <dirent.h>
#include <errno.h>
#include <regex.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_OUTPUT = 8 << 20, LONG = 8192, SECONDS = 60 };

static int passed, failed, skipped;
static bool verbose;
static char temp[LONG];         /* folder for %t */

typedef struct Test {
    const char *path;
    char folder[LONG];
    char *text, *line;          /* the file; the directive being read */
    int number;                 /* of the line */
    char *out, *at;             /* output of the last RUN; not yet matched */
    int status;
    bool ran, status_checked, ok;
} Test;

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void *memory(void *p, size_t n)
{
    p = realloc(p, n);
    if (!p)
        die("golden");
    return p;
}

static void complain(Test *t, const char *fmt, ...)
{
    va_list ap;

    if (t->ok)
        printf("FAIL %s\n", t->path);
    t->ok = false;
    printf("  %s:%d: ", t->path, t->number);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

static char *read_all(FILE *f)
{
    size_t n = 0, cap = 1 << 16;
    char *s = memory(NULL, cap);

    for (;;) {
        size_t got = fread(s + n, 1, cap - n - 1, f);
        n += got;
        if (!got || n >= MAX_OUTPUT)
            break;
        if (n + 1 == cap)
            s = memory(s, cap *= 2);
    }
    s[n] = 0;
    return s;
}

/* %s the file, %S its folder, %t a file name of the test's own */
static void expand(const Test *t, const char *cmd, char *to, size_t size)
{
    size_t n = 0;

    for (; *cmd && n + 1 < size; cmd++) {
        const char *with = NULL;
        char name[LONG + 32];
        if (*cmd == '%' && cmd[1] == 's')
            with = t->path;
        else if (*cmd == '%' && cmd[1] == 'S')
            with = t->folder;
        else if (*cmd == '%' && cmd[1] == 't') {
            snprintf(name, sizeof name, "%s/t", temp);
            with = name;
        }
        if (!with) {
            to[n++] = *cmd;
            continue;
        }
        n += (size_t)snprintf(to + n, size - n, "%s", with);
        cmd++;
    }
    to[n < size ? n : size - 1] = 0;
}

static void check_status(Test *t)
{
    if (t->ran && !t->status_checked && t->status)
        complain(t, "exit status %d", t->status);
    t->status_checked = true;
}

static void run(Test *t, const char *cmd)
{
    char line[LONG * 2], shell[LONG * 2 + 64];
    FILE *f;
    int status;

    check_status(t);
    expand(t, cmd, line, sizeof line);
    snprintf(shell, sizeof shell, "ulimit -t %d; { %s ; } 2>&1", SECONDS,
             line);
    f = popen(shell, "r");
    if (!f)
        die("popen");
    free(t->out);
    t->out = t->at = read_all(f);
    status = pclose(f);
    t->status = WIFEXITED(status) ? WEXITSTATUS(status)
                                  : 128 + WTERMSIG(status);
    t->ran = true;
    t->status_checked = false;
    if (verbose)
        printf("+ %s\n%s", line, t->out);
}

/* `text {{regex}} text`, blanks standing for any run of blanks. */
static bool compile(const char *pattern, regex_t *re, char *error)
{
    char ere[LONG * 3];
    size_t n = 0;
    int rc;

    while (*pattern && n < sizeof ere - 64) {
        const char *close = strncmp(pattern, "{{", 2)
                                ? NULL : strstr(pattern, "}}");
        if (close) {
            n += (size_t)snprintf(ere + n, sizeof ere - n, "(%.*s)",
                                  (int)(close - pattern - 2), pattern + 2);
            pattern = close + 2;
        } else if (*pattern == ' ' || *pattern == '\t') {
            n += (size_t)snprintf(ere + n, sizeof ere - n, "[ \t]+");
            pattern += strspn(pattern, " \t");
        } else {
            if (strchr("\\^$.[]|()*+?{}", *pattern))
                ere[n++] = '\\';
            ere[n++] = *pattern++;
        }
    }
    ere[n] = 0;
    rc = regcomp(re, ere, REG_EXTENDED | REG_NEWLINE);
    if (rc)
        regerror(rc, re, error, 200);
    return rc == 0;
}

/* Looks in [from, to); where the match is, or NULL. */
static char *find(Test *t, const char *pattern, char *from, char *to,
                  char **end)
{
    char error[200], keep = *to;
    regmatch_t m;
    regex_t re;
    bool hit;

    if (!compile(pattern, &re, error)) {
        complain(t, "bad pattern '%s': %s", pattern, error);
        return NULL;
    }
    *to = 0;
    hit = regexec(&re, from, 1, &m, 0) == 0;
    *to = keep;
    regfree(&re);
    *end = hit ? from + m.rm_eo : NULL;
    return hit ? from + m.rm_so : NULL;
}

static char *line_end(char *s)
{
    return s + strcspn(s, "\n");
}

static void show_rest(const Test *t)
{
    char *s = t->at;

    for (int i = 0; i < 4 && *s; i++) {
        char *e = line_end(s);
        printf("    output: %.*s\n", (int)(e - s > 150 ? 150 : e - s), s);
        s = *e ? e + 1 : e;
    }
}

/* Patterns of CHECK-NOT that wait for the end of their stretch. */
typedef struct Nots { int n, line[64]; char *pattern[64]; } Nots;

static void settle(Test *t, Nots *nots, char *to)
{
    int at = t->number;

    for (int i = 0; i < nots->n; i++) {
        char *end, *hit = find(t, nots->pattern[i], t->at, to, &end);
        t->number = nots->line[i];
        if (hit)
            complain(t, "CHECK-NOT: '%s' is there: %.*s", nots->pattern[i],
                     (int)(line_end(hit) - hit), hit);
    }
    t->number = at;
    nots->n = 0;
}

typedef enum Where { ANYWHERE, SAME_LINE, NEXT_LINE } Where;

static void check(Test *t, const char *pattern, Where where, Nots *nots)
{
    static const char *const kind[] = { "", "-SAME", "-NEXT" };
    char *from = t->at, *end, *hit, *to = t->at + strlen(t->at);

    if (where == NEXT_LINE) {
        from = line_end(from);
        from += *from == '\n';
    }
    if (where != ANYWHERE)
        to = line_end(from);
    hit = find(t, pattern, from, to, &end);
    if (!hit) {
        complain(t, "CHECK%s: '%s' is not there", kind[where], pattern);
        show_rest(t);
        return;
    }
    settle(t, nots, hit);
    t->at = end;
}

static void check_count(Test *t, int want, const char *pattern)
{
    char *s = t->at, *end;
    int n = 0;

    while (find(t, pattern, s, s + strlen(s), &end)) {
        n++;
        s = *end ? end + (end == s) : end;
        if (!*s)
            break;
    }
    if (n != want)
        complain(t, "CHECK-COUNT: '%s' is there %d times, not %d", pattern,
                 n, want);
}

/* The text behind `# NAME:` in a comment line, or NULL. */
static char *directive(char *line, const char *name)
{
    size_t n = strlen(name);

    line += strspn(line, " \t");
    if (*line == '#')
        line++;
    else if (line[0] == '/' && line[1] == '/')
        line += 2;
    else
        return NULL;
    line += strspn(line, " \t");
    if (strncmp(line, name, n) || line[n] != ':')
        return NULL;
    line += n + 1;
    return line + strspn(line, " \t");
}

static bool requires(const char *what)
{
    if (!strcmp(what, "shared"))
        return getenv("MCUFC_SHARED") && !access(getenv("MCUFC_SHARED"), R_OK);
    return false;
}

/* False: the test is skipped. */
static bool do_line(Test *t, char *line, Nots *nots)
{
    char *s;

    if ((s = directive(line, "REQUIRES")) && !requires(s)) {
        printf("SKIP %s (needs %s)\n", t->path, s);
        return false;
    }
    if ((s = directive(line, "RUN"))) {
        if (t->ran)
            settle(t, nots, t->at + strlen(t->at));
        run(t, s);
    } else if ((s = directive(line, "EXIT"))) {
        if (t->status != atoi(s))
            complain(t, "exit status %d, not %d", t->status, atoi(s));
        t->status_checked = true;
    } else if (!t->ran) {
        return true;
    } else if ((s = directive(line, "CHECK"))) {
        check(t, s, ANYWHERE, nots);
    } else if ((s = directive(line, "CHECK-SAME"))) {
        check(t, s, SAME_LINE, nots);
    } else if ((s = directive(line, "CHECK-NEXT"))) {
        check(t, s, NEXT_LINE, nots);
    } else if ((s = directive(line, "CHECK-NOT")) && nots->n < 64) {
        nots->line[nots->n] = t->number;
        nots->pattern[nots->n++] = s;
    } else if ((s = strstr(line, "CHECK-COUNT-"))) {
        char *colon = strchr(s, ':');
        if (colon)
            check_count(t, atoi(s + 12), colon + 1 +
                        strspn(colon + 1, " \t"));
    } else if (strstr(line, "CHECK") && strchr(line, ':')) {
        complain(t, "no such directive: %s", line);
    }
    return true;
}

static void set_folder(Test *t)
{
    char *slash;

    snprintf(t->folder, sizeof t->folder, "%s", t->path);
    slash = strrchr(t->folder, '/');
    if (slash)
        *slash = 0;
    else
        strcpy(t->folder, ".");
}

static void test_file(const char *path)
{
    FILE *f = fopen(path, "r");
    Test t = { .path = path, .ok = true };
    Nots nots = { 0 };
    bool run_it = true;

    if (!f)
        die(path);
    t.text = read_all(f);
    fclose(f);
    set_folder(&t);
    for (char *line = t.text; line && run_it && t.ok;) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        t.number++;
        run_it = do_line(&t, line, &nots);
        line = next;
    }
    if (run_it && t.ran && t.ok) {
        settle(&t, &nots, t.at + strlen(t.at));
        check_status(&t);
    }
    if (run_it && !t.ran)
        complain(&t, "no RUN line");
    if (!run_it)
        skipped++;
    else if (t.ok)
        passed++;
    else
        failed++;
    free(t.out);
    free(t.text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void visit(const char *path);

static void visit_folder(const char *path, DIR *d)
{
    char **list = NULL;
    int n = 0;

    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.' || !strcmp(e->d_name, "Inputs"))
            continue;
        list = memory(list, (size_t)(n + 1) * sizeof *list);
        list[n] = memory(NULL, strlen(path) + strlen(e->d_name) + 2);
        sprintf(list[n++], "%s/%s", path, e->d_name);
    }
    closedir(d);
    qsort(list, (size_t)n, sizeof *list, by_name);
    for (int i = 0; i < n; i++) {
        visit(list[i]);
        free(list[i]);
    }
    free(list);
}

static void visit(const char *path)
{
    DIR *d = opendir(path);
    size_t n = strlen(path);

    if (d)
        visit_folder(path, d);
    else if (n > 4 && (!strcmp(path + n - 4, ".mcu") ||
                       !strcmp(path + n - 5, ".test")))
        test_file(path);
}

/* mcufc and its neighbours are found first. */
static void set_path(const char *mcufc)
{
    char folder[LONG], path[LONG * 2];
    char *real = realpath(mcufc, NULL), *slash;

    if (!real)
        die(mcufc);
    snprintf(folder, sizeof folder, "%s", real);
    free(real);
    slash = strrchr(folder, '/');
    *slash = 0;
    snprintf(path, sizeof path, "%s:%s", folder, getenv("PATH"));
    setenv("PATH", path, 1);
    real = getenv("MCUFC_SHARED") ? NULL : realpath("../shared", NULL);
    if (real)
        setenv("MCUFC_SHARED", real, 1);
    free(real);
    setenv("MCUFC_CHECK", "1", 1);      /* graph_verify after each pass */
}

int main(int argc, char **argv)
{
    const char *base = getenv("TMPDIR");
    char clean[LONG + 32];
    int i = 1;

    if (i < argc && !strcmp(argv[i], "-v"))
        verbose = true, i++;
    if (argc - i < 2) {
        fputs("usage: golden [-v] MCUFC FOLDER_OR_FILE...\n", stderr);
        return 2;
    }
    set_path(argv[i++]);
    snprintf(temp, sizeof temp, "%s/golden.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(temp))
        die(temp);
    for (; i < argc; i++)
        visit(argv[i]);
    snprintf(clean, sizeof clean, "rm -rf '%s'", temp);
    if (system(clean))
        die(clean);
    printf("golden: %d passed, %d failed, %d skipped\n", passed, failed,
           skipped);
    return failed != 0;
}
