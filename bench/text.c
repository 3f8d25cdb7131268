/* text.c - how fast the text form is read: a text of nodes alone, one that is
 * mostly constants in line, and a syntax error in the middle of 10,000 lines.
 * `make bench-text`; MB of text per second of processor time, best of five.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../frontend/model.h"

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A chain of nodes; line `wrong` lacks a parenthesis. */
static void chain(Buf *b, int n, int wrong)
{
    buf_puts(b, "g (float[4] x) => (float[4] y)\n{\n  v0 = Relu (x)\n");
    for (int i = 1; i < n; i++)
        buf_printf(b, "  [node_%d] v%d = LeakyRelu <alpha = 0.1> %sv%d)\n", i,
                   i, i == wrong ? "" : "(", i - 1);
    buf_printf(b, "  y = Relu (v%d)\n}\n", n - 1);
}

/* What exporters write: long names, several operands and attributes. */
static void exported(Buf *b, int n)
{
    buf_puts(b, "g (float[1,8,8,8] x) => (float[1,8,8,8] y)\n{\n"
             "  \"/blocks.0/Add_output_0\" = Relu (x)\n");
    for (int i = 1; i < n; i++)
        buf_printf(b, "  [\"/blocks.%d/Conv\"] \"/blocks.%d/Conv_output_0\" ="
                   " Conv <dilations: ints = [1, 1], group: int = 1, "
                   "pads: ints = [1, 1, 1, 1]> (\"/blocks.%d/Add_output_0\", "
                   "\"blocks.%d.weight\", \"blocks.%d.bias\")\n"
                   "  [\"/blocks.%d/Add\"] \"/blocks.%d/Add_output_0\" = Add "
                   "(\"/blocks.%d/Conv_output_0\", "
                   "\"/blocks.%d/Add_output_0\")\n", i, i, i - 1, i, i, i, i,
                   i, i - 1);
    buf_printf(b, "  y = Relu (\"/blocks.%d/Add_output_0\")\n}\n", n - 1);
}

static void constants(Buf *b, int n)
{
    uint32_t r = 1;

    buf_puts(b, "g (float[64] x) => (float[64] y)\n<\n");
    for (int i = 0; i < n; i++) {
        buf_printf(b, "%s  float[64,64] w%d = {", i ? ",\n" : "", i);
        for (int k = 0; k < 64 * 64; k++) {
            r = r * 1664525u + 1013904223u;
            buf_printf(b, "%s%.7g", k ? ", " : "",
                       (double)(int32_t)r / 2147483648.0);
        }
        buf_puts(b, "}");
    }
    buf_puts(b, "\n>\n{\n  y = Relu (x)\n}\n");
}

static double best_time(const Buf *b, Arena *parent, FILE *out, bool *ok)
{
    FileBytes bytes = { (uint8_t *)b->s, b->n };
    double best = 1e9;

    for (int k = 0; k < 5; k++) {
        Arena *a = arena_child(parent);
        Diag d = { .out = out, .file = "text" };
        double start = seconds(), t;
        Model m;
        *ok = text_read("text", bytes, a, &d, &m);
        t = seconds() - start;
        best = t < best ? t : best;
        arena_free(a);
    }
    return best;
}

static bool rate(const char *what, const Buf *b, Arena *a)
{
    bool ok;
    double t = best_time(b, a, stderr, &ok);

    printf("%-40s %8.1f MB %8.4f s %8.1f MB/s\n", what, (double)b->n / 1e6,
           t, (double)b->n / 1e6 / t);
    return ok;
}

int main(void)
{
    ArenaOom oom = { .limit = 0 };
    Arena *a;
    Buf b;
    bool ok, broken;
    double t;

    if (setjmp(oom.handler))
        return 1;
    a = arena_new(&oom);
    buf_init(&b, a);
    chain(&b, 80000, 0);
    ok = rate("nodes alone, 80,000 short ones", &b, a);
    buf_clear(&b);
    exported(&b, 40000);
    ok = rate("nodes alone, 80,000 with long names", &b, a) && ok;
    buf_clear(&b);
    constants(&b, 1000);
    ok = rate("constants in line, 4,096,000 floats", &b, a) && ok;
    buf_clear(&b);
    chain(&b, 10000, 5000);
    t = best_time(&b, a, NULL, &broken);
    printf("%-40s %8.4f s\n", "a syntax error in 10,000 lines", t);
    arena_free(a);
    return ok && !broken ? 0 : 1;
}
