/* board.c - see board.h. The sources are those of runtime_stub/boards,
 * embedded in the compiler. */
#include "board.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../codegen/kernels.h"

/* STM32F746: SRAM of all kinds; flash. Main and handlers take the rest. */
enum { RAM_BYTES = 320 << 10, FLASH_BYTES = 1 << 20, MAIN_STACK = 512,
       MARK_BEGIN = 0x100, MARK_END = 0x110, TIME_LIMIT = 3600 };

/* What board.c writes to sizes.bin, little endian. */
typedef struct BoardSizes {
    uint32_t text, tables, weights, ram, stack, stack_room;
} BoardSizes;

static const char *in_dir(Compile *c, const char *dir, const char *file)
{
    return arena_printf(c->arena, "%s/%s", dir, file);
}

static bool put_file(Compile *c, const char *dir, const char *name)
{
    for (const KernelFile *k = board_files; k->name; k++)
        if (!strcmp(k->name, name)) {
            Buf b;
            buf_init(&b, c->arena);
            buf_puts(&b, k->text);
            return write_file(c, in_dir(c, dir, name), write_buf, &b);
        }
    return diag_error(c->diag, "no file '%s' in this mcufc", name);
}

static int shell(Compile *c, const char *dir, const char *command)
{
    int rc = system(arena_printf(c->arena, "cd '%s' && %s", dir, command));

    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

bool host_run(Compile *c, const char *dir)
{
    const char *cc = getenv("CC") ? getenv("CC") : "cc";
    const char *flags = getenv("CFLAGS") ? getenv("CFLAGS") : "-O2";
    int rc;

    if (!put_file(c, dir, "board.h") || !put_file(c, dir, "host.c"))
        return false;
    if (shell(c, dir, arena_printf(c->arena, "%s -std=c99 %s -o model host.c "
                                   "model_main.c -lm > cc.log 2>&1", cc,
                                   flags)))
        return diag_error(c->diag, "--verify: '%s' does not compile the "
                          "generated C: see %s/cc.log", cc, dir);
    rc = shell(c, dir, "./model");
    return rc == 0 || diag_error(c->diag, "--verify: the built model ends "
                                 "with status %d", rc);
}

static bool has_tool(Compile *c, const char *tool, const char *package)
{
    if (!system(arena_printf(c->arena, "command -v %s > /dev/null 2>&1",
                             tool)))
        return true;
    diag_error(c->diag, "--verify: there is no %s on this machine", tool);
    diag_hint(c->diag, "Debian: apt-get install %s", package);
    return false;
}

/* The last line of a log, for a message. */
static const char *log_tail(Compile *c, const char *dir)
{
    FILE *f = fopen(in_dir(c, dir, "cc.log"), "r");
    char line[512], *keep = arena_strdup(c->arena, "");

    while (f && fgets(line, sizeof line, f))
        if (!strstr(line, "collect2") &&
            (strstr(line, "error") || strstr(line, "overflowed") ||
             strstr(line, "too little"))) {
            keep = arena_strdup(c->arena, line);
            keep[strcspn(keep, "\n")] = 0;
        }
    if (f)
        fclose(f);
    return keep;
}

/* Code, tables, weights and arena, linked into the F746's memory. */
static bool build(Compile *c, const char *dir, const Target *t,
                  int64_t stack_bytes, const char *upper)
{
    const char *opt = getenv("CFLAGS") ? getenv("CFLAGS") : "-O2";
    const char *macro = arena_printf(
        c->arena, "'-D%s_WEIGHTS=__attribute__((section(\".weights\")))'",
        upper);
    const char *command = arena_printf(
        c->arena, "arm-none-eabi-gcc -std=gnu99 -mthumb %s %s %s "
        "-ffunction-sections -fdata-sections -ffreestanding -nostartfiles "
        "-Wl,--gc-sections,--no-warn-rwx-segments -T board.ld "
        "-Wl,--defsym=FLASH_ORIGIN=0,--defsym=FLASH_BYTES=%d,"
        "--defsym=RAM_ORIGIN=%u,--defsym=RAM_BYTES=%d,"
        "--defsym=QSPI_ORIGIN=%u,--defsym=QSPI_BYTES=%u,"
        "--defsym=STACK_BYTES=%lld -o model.elf board.c model_main.c %s -lm "
        "> cc.log 2>&1", t->flags, opt, macro, FLASH_BYTES, t->ram,
        RAM_BYTES, t->qspi, t->qspi_bytes, (long long)stack_bytes +
        MAIN_STACK, c->opt->weights_file ? "weights.S" : "");

    if (!shell(c, dir, command))
        return true;
    diag_error(c->diag, "--verify: the model does not build for %s: %s",
               t->name, log_tail(c, dir));
    diag_note(c->diag, "320 KiB of RAM, 1 MiB of flash for code and tables; "
              "all messages are in %s/cc.log", dir);
    return false;
}

static bool put_weights(Compile *c, const char *dir)
{
    Buf b;

    if (!c->opt->weights_file)
        return true;
    buf_init(&b, c->arena);
    buf_puts(&b, "    .section .weights, \"a\"\n    .balign 16\n"
             "    .global board_blob\nboard_blob:\n"
             "    .incbin \"w.bin\"\n");
    return write_file(c, in_dir(c, dir, "weights.S"), write_buf, &b);
}

/* The counting plugin is built for this machine; without a compiler for it
 * the run goes on uncounted. */
static const char *plugin(Compile *c, const char *dir)
{
    const char *cc = getenv("HOST_CC") ? getenv("HOST_CC") : "cc";

    if (!put_file(c, dir, "count.c") ||
        shell(c, dir, arena_printf(c->arena, "%s -O2 -fPIC -shared -o "
                                   "count.so count.c > count.log 2>&1", cc)))
        return "";
    return arena_printf(c->arena, "-plugin ./count.so,begin=%d,end=%d,"
                        "out=count.txt", MARK_BEGIN, MARK_END);
}

static bool emulate(Compile *c, const char *dir, const Target *t)
{
    int rc = shell(c, dir, arena_printf(
        c->arena, "timeout %d qemu-system-arm -M %s -display none -monitor "
        "none -serial none -semihosting-config enable=on,target=native %s "
        "-kernel model.elf > qemu.log 2>&1 < /dev/null", TIME_LIMIT,
        t->machine, plugin(c, dir)));

    if (rc == 0)
        return true;
    if (rc == 98 || rc == 99)
        return diag_error(c->diag, "--verify: the model faults on %s (see "
                          "%s)", t->machine, dir);
    return diag_error(c->diag, "--verify: on %s the model ends with status "
                      "%d (see %s/qemu.log)", t->machine, rc, dir);
}

static void print_counts(Compile *c, const char *dir, const Target *t)
{
    FILE *f = fopen(in_dir(c, dir, "count.txt"), "r");
    long long n, least = -1, most = 0;
    int runs = 0;

    while (f && fscanf(f, "%lld", &n) == 1) {
        least = least < 0 || n < least ? n : least;
        most = n > most ? n : most;
        runs++;
    }
    if (f)
        fclose(f);
    if (!runs)
        printf("%s: instructions not counted\n", t->name);
    else if (least == most)
        printf("%s: %lld instructions per run (exact, %d runs)\n", t->name,
               least, runs);
    else
        printf("%s: %lld to %lld instructions per run (exact, %d runs)\n",
               t->name, least, most, runs);
}

static bool print_sizes(Compile *c, const char *dir, const Target *t)
{
    FILE *f = fopen(in_dir(c, dir, "sizes.bin"), "rb");
    BoardSizes s;
    bool ok = f && fread(&s, sizeof s, 1, f) == 1;

    if (f)
        fclose(f);
    if (!ok)
        return diag_error(c->diag, "--verify: %s left no sizes", t->machine);
    printf("%s: RAM %u of %d B: %u arena and data, stack high-water mark %u "
           "of %u B\n%s: flash: code %u B, tables %u B, weights %u B\n",
           t->name, s.ram + s.stack, RAM_BYTES, s.ram, s.stack, s.stack_room,
           t->name, s.text, s.tables, s.weights);
    return true;
}

bool board_run(Compile *c, const char *dir, const Codegen *cg)
{
    const Target *t = target_by_name(c->opt->target);

    if (!*t->machine)
        return diag_error(c->diag, "--verify: QEMU has no board for %s",
                          t->name);
    if (!has_tool(c, "arm-none-eabi-gcc",
                  "gcc-arm-none-eabi libnewlib-arm-none-eabi") ||
        !has_tool(c, "qemu-system-arm", "qemu-system-arm"))
        return false;
    if (!put_file(c, dir, "board.h") || !put_file(c, dir, "board.c") ||
        !put_file(c, dir, "board.ld") || !put_weights(c, dir) ||
        !build(c, dir, t, codegen_sizes(cg).stack, codegen_upper(cg)) ||
        !emulate(c, dir, t))
        return false;
    print_counts(c, dir, t);
    return print_sizes(c, dir, t);
}

void board_clean(Compile *c, const char *dir)
{
    static const char *const files[] = {
        "model.c", "model_main.c", "in.bin", "out.bin", "w.bin", "cc.log",
        "model", "board.h", "host.c", "board.c", "board.ld", "count.c",
        "count.so", "count.log", "count.txt", "sizes.bin", "weights.S",
        "model.elf", "qemu.log", "host.bin",
    };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        remove(in_dir(c, dir, files[i]));
    rmdir(dir);
}
