/* fuzz.c - feeds a command with damaged models and bombs.
 *
 *     fuzz [-n FLIPS] [-s SEED] [-m MIB] [-t SECONDS] MODEL... -- CMD {}
 *
 * runs CMD (its `{}` becomes the file's path) on every model cut short at
 * each percent, on FLIPS copies with 1 to 4 random bytes changed (the same
 * ones for the same seed), and on bombs: small or simple files that take
 * gigabytes or a deep stack to unpack. CMD must end with exit code 0 or 1
 * within its limits of memory (address space, 512 MiB; -m 0: none, for
 * sanitizers) and CPU time (1 s); a bomb must end with 1. Files that break
 * a rule are kept, and so are the last words of CMD about them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Bytes {
    uint8_t *p;
    size_t n;
} Bytes;

typedef struct Fuzz {
    char **command;             /* ends with NULL */
    char folder[64], path[128], log[128];
    uint32_t seed;
    int mib, flips, broken, runs, refused;
    double seconds, slowest;
    long peak_kib;
} Fuzz;

static uint32_t random32(Fuzz *f)
{
    f->seed ^= f->seed << 13;
    f->seed ^= f->seed >> 17;
    f->seed ^= f->seed << 5;
    return f->seed;
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);

    if (!p)
        die("malloc");
    return p;
}

static Bytes read_bytes(const char *path)
{
    FILE *in = fopen(path, "rb");
    struct stat st;
    Bytes b;

    if (!in || fstat(fileno(in), &st))
        die(path);
    b.n = (size_t)st.st_size;
    b.p = allocate(b.n);
    if (fread(b.p, 1, b.n, in) != b.n)
        die(path);
    fclose(in);
    return b;
}

static void write_bytes(const char *path, const void *p, size_t n)
{
    FILE *out = fopen(path, "wb");

    if (!out || (n && fwrite(p, 1, n, out) != n) || fclose(out))
        die(path);
}

static void child(const Fuzz *f)
{
    struct rlimit memory = { (rlim_t)f->mib << 20, (rlim_t)f->mib << 20 };
    struct rlimit cpu = { (rlim_t)f->seconds + 1, (rlim_t)f->seconds + 2 };
    struct rlimit none = { 0, 0 };
    int out = open(f->log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int in = open("/dev/null", O_RDONLY);

    if (out < 0 || in < 0)
        _exit(126);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    if (f->mib)
        setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_CORE, &none);
    alarm(20 + 4 * (unsigned)f->seconds);       /* it may also hang */
    execvp(f->command[0], f->command);
    _exit(127);
}

static void complain(Fuzz *f, const char *what, const char *why)
{
    char kept[160], command[512];

    f->broken++;
    snprintf(kept, sizeof kept, "%s/broken%d.onnx", f->folder, f->broken);
    printf("%s: %s, kept as %s\n", what, why, kept);
    snprintf(command, sizeof command,
             "cp '%s' '%s'; tail -n 5 '%s' | cut -c1-200", f->path, kept,
             f->log);
    fflush(stdout);
    if (system(command))
        die("system");
}

/* Runs the command on f->path. must_refuse: exit code 1 only. */
static void run(Fuzz *f, const char *what, bool must_refuse)
{
    struct rusage use;
    char why[64] = "";
    double seconds;
    int status;
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (!pid)
        child(f);
    while (wait4(pid, &status, 0, &use) < 0)
        if (errno != EINTR)
            die("wait4");
    seconds = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
              1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
    f->runs++;
    f->refused += WIFEXITED(status) && WEXITSTATUS(status) == 1;
    f->slowest = seconds > f->slowest ? seconds : f->slowest;
    f->peak_kib = use.ru_maxrss > f->peak_kib ? use.ru_maxrss : f->peak_kib;
    if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) > 1 || (must_refuse && !WEXITSTATUS(status)))
        snprintf(why, sizeof why, "exit code %d", WEXITSTATUS(status));
    else if (seconds > f->seconds)
        snprintf(why, sizeof why, "%.2f s", seconds);
    if (*why)
        complain(f, what, why);
}

static void cut(Fuzz *f, const char *name, const Bytes *b)
{
    char what[256];

    for (int i = 0; i < 100; i++) {
        snprintf(what, sizeof what, "%s cut at %d %%", name, i);
        write_bytes(f->path, b->p, b->n * (size_t)i / 100);
        run(f, what, false);
    }
}

static void flip(Fuzz *f, const char *name, const Bytes *b, int times)
{
    uint8_t *p = allocate(b->n);
    char what[256];

    for (int i = 0; i < times && b->n; i++) {
        int bytes = 1 + (int)(random32(f) % 4);
        memcpy(p, b->p, b->n);
        for (int k = 0; k < bytes; k++)
            p[random32(f) % b->n] = (uint8_t)random32(f);
        snprintf(what, sizeof what, "%s with change %d", name, i);
        write_bytes(f->path, p, b->n);
        run(f, what, false);
    }
    free(p);
}

/* tag and length of a field written before `end`; its new start */
static uint8_t *put_head(uint8_t *end, int number, size_t length)
{
    uint8_t head[8];
    int n = 0;

    head[n++] = (uint8_t)(number << 3 | 2);
    for (; length > 127; length >>= 7)
        head[n++] = (uint8_t)(length | 128);
    head[n++] = (uint8_t)length;
    return (uint8_t *)memcpy(end - n, head, (size_t)n);
}

/* n bytes ending at `end`, wrapped in the fields path[0] (outermost) ... A
 * name that starts with `*` need not be refused: it is only large. */
static void wrapped(Fuzz *f, const char *what, uint8_t *end, size_t n,
                    const int *path)
{
    uint8_t *start = end - n;
    int deep = 0;

    while (path[deep])
        deep++;
    while (deep--)
        start = put_head(start, path[deep], (size_t)(end - start));
    write_bytes(f->path, start, (size_t)(end - start));
    run(f, what, *what != '*');
}

/* fields cycle[0], cycle[1], ..., cycle[0], ... in each other, in path */
static void nested(Fuzz *f, const char *what, const int *cycle, int times,
                   const int *path)
{
    size_t cap = (size_t)times * 6 + 64;
    uint8_t *p = allocate(cap), *end = p + cap, *start = end;
    int n = 0;

    while (cycle[n])
        n++;
    for (int i = times; i--;)
        start = put_head(start, cycle[i % n], (size_t)(end - start));
    wrapped(f, what, end, (size_t)(end - start), path);
    free(p);
}

/* `bytes` bytes of `unit` over and over, in path */
static void repeated(Fuzz *f, const char *what, const char *unit,
                     size_t unit_bytes, size_t bytes, const int *path)
{
    uint8_t *p = allocate(bytes + 64), *end = p + bytes + 64;

    bytes -= bytes % unit_bytes;
    for (size_t i = 0; i < bytes; i++)
        end[(ptrdiff_t)i - (ptrdiff_t)bytes] =
            (uint8_t)unit[i % unit_bytes];
    wrapped(f, what, end, bytes, path);
    free(p);
}

#define PATH(...) (const int[]){ __VA_ARGS__, 0 }

static void bombs(Fuzz *f)
{
    const size_t m20 = 20 << 20;

    /* ModelProto.graph 7; GraphProto.node 1, .initializer 5, .input 11;
     * NodeProto.attribute 5; AttributeProto.g 6, .t 5, .tp 14 */
    nested(f, "30 kB of nested graphs", PATH(1, 5, 6), 9000, PATH(7));
    nested(f, "10 MB of nested graphs", PATH(1, 5, 6), 2000000, PATH(7));
    nested(f, "nested sequences", PATH(4, 1), 9000, PATH(7, 11, 2));
    nested(f, "nested optionals", PATH(9, 1), 9000, PATH(25, 12, 2));
    repeated(f, "20 MB of empty nodes", "\x0a\0", 2, m20, PATH(7));
    repeated(f, "20 MB of empty tensors", "\x2a\0", 2, m20, PATH(7));
    repeated(f, "20 MB of empty inputs", "\x5a\0", 2, m20, PATH(7));
    repeated(f, "20 MB of empty functions", "\xca\x01\0", 3, m20, PATH(3));
    repeated(f, "20 MB of empty attributes", "\x2a\0", 2, m20, PATH(7, 1));
    repeated(f, "20 MB of empty names", "\x0a\0", 2, m20, PATH(7, 1));
    repeated(f, "20 MB of empty strings", "\x4a\0", 2, m20, PATH(7, 1, 5));
    repeated(f, "20 MB of dims", "\x08\1", 2, m20, PATH(7, 5));
    repeated(f, "20 MB of packed dims", "\1", 1, m20, PATH(7, 5, 1));
    repeated(f, "20 MB of packed ints", "\1", 1, m20, PATH(7, 1, 5, 8));
    repeated(f, "20 MB of packed int64 data", "\1", 1, m20, PATH(7, 5, 7));
    repeated(f, "20 MB of one name", "a", 1, m20, PATH(7, 2));
    repeated(f, "20 MB of control characters", "\1", 1, m20, PATH(7, 1, 4));
    repeated(f, "*20 MB of unknown fields", "\xfa\x07\0", 3, m20, PATH(7));
    repeated(f, "*20 MB of documentation", "\x52\0", 2, m20, PATH(7));
    repeated(f, "20 MB of opsets", "\x42\0", 2, m20, PATH(3));
    repeated(f, "20 MB of zero bytes", "\0", 1, m20, PATH(7));
    repeated(f, "20 MB of ones", "\xff", 1, m20, PATH(7));
}

static int usage(void)
{
    fputs("usage: fuzz [-n FLIPS] [-s SEED] [-m MIB] [-t SECONDS] MODEL... "
          "-- COMMAND {} ...\n", stderr);
    return 2;
}

static bool find_command(Fuzz *f, int argc, char **argv, int *models)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--")) {
            *models = i;
            f->command = argv + i + 1;
            for (char **a = f->command; *a; a++)
                if (!strcmp(*a, "{}"))
                    *a = f->path;
            return f->command[0];
        }
    return false;
}

static int report(const Fuzz *f)
{
    printf("%d runs, %d refused, %d broke the rules; at most %.2f s of CPU "
           "and %ld MiB\n", f->runs, f->refused, f->broken, f->slowest,
           f->peak_kib >> 10);
    if (!f->broken) {
        remove(f->path);
        remove(f->log);
        rmdir(f->folder);
    }
    return f->broken != 0;
}

int main(int argc, char **argv)
{
    Fuzz f = { .seed = 1, .mib = 512, .flips = 10000, .seconds = 1,
               .folder = "/tmp/mcufc-fuzz-XXXXXX" };
    int models = 0, option;

    if (!find_command(&f, argc, argv, &models))
        return usage();
    while ((option = getopt(models, argv, "n:s:m:t:")) != -1)
        switch (option) {
        case 'n': f.flips = atoi(optarg); break;
        case 's': f.seed = (uint32_t)atoi(optarg) * 2u + 1; break;
        case 'm': f.mib = atoi(optarg); break;
        case 't': f.seconds = atof(optarg); break;
        default: return usage();
        }
    if (!mkdtemp(f.folder))
        die(f.folder);
    /* a sanitizer's complaint must not look like a refusal */
    setenv("ASAN_OPTIONS", "exitcode=99", 1);
    setenv("UBSAN_OPTIONS", "halt_on_error=1:exitcode=99", 1);
    snprintf(f.path, sizeof f.path, "%s/model.onnx", f.folder);
    snprintf(f.log, sizeof f.log, "%s/log", f.folder);
    for (int i = optind; i < models; i++) {
        Bytes b = read_bytes(argv[i]);
        cut(&f, argv[i], &b);
        flip(&f, argv[i], &b, f.flips / (models - optind));
        free(b.p);
    }
    bombs(&f);
    return report(&f);
}
