/* count.c - a QEMU plugin (plugin API 1, QEMU 7.2) that counts executed
 * instructions between two addresses, exactly: the marks of board.c.
 *
 * Arguments: begin=ADDRESS, end=ADDRESS, out=FILE. One line per pass from
 * begin to end is written: the number of instructions, the one at `begin`
 * not counted. Debian 12 ships no qemu-plugin.h; what is used is declared
 * here, after QEMU's documentation.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t PluginId;
typedef struct Block Block;     /* qemu_plugin_tb */
typedef struct Insn Insn;       /* qemu_plugin_insn */
enum { NO_REGISTERS = 0, ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(PluginId id,
                                           void (*cb)(PluginId, Block *));
void qemu_plugin_register_vcpu_insn_exec_cb(Insn *insn,
                                            void (*cb)(unsigned, void *),
                                            int flags, void *user);
void qemu_plugin_register_vcpu_insn_exec_inline(Insn *insn, int op,
                                                void *counter, uint64_t n);
void qemu_plugin_register_atexit_cb(PluginId id,
                                    void (*cb)(PluginId, void *), void *user);
size_t qemu_plugin_tb_n_insns(const Block *tb);
Insn *qemu_plugin_tb_get_insn(const Block *tb, size_t i);
uint64_t qemu_plugin_insn_vaddr(const Insn *insn);

#define PUBLIC __attribute__((visibility("default")))
PUBLIC extern int qemu_plugin_version;
PUBLIC int qemu_plugin_version = 1;
PUBLIC int qemu_plugin_install(PluginId id, const void *info, int argc,
                               char **argv);

static uint64_t begin, end, executed, at_begin;
static bool inside;
static FILE *out;

static void on_begin(unsigned cpu, void *user)
{
    (void)cpu;
    (void)user;
    at_begin = executed;
    inside = true;
}

static void on_end(unsigned cpu, void *user)
{
    (void)cpu;
    (void)user;
    if (inside)
        fprintf(out, "%" PRIu64 "\n", executed - at_begin);
    inside = false;
}

static void on_block(PluginId id, Block *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        Insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t pc = qemu_plugin_insn_vaddr(insn);
        if (pc == begin)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_begin,
                                                   NO_REGISTERS, NULL);
        if (pc == end)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_end,
                                                   NO_REGISTERS, NULL);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &executed,
                                                   1);
    }
}

static void on_exit_of_program(PluginId id, void *user)
{
    (void)id;
    (void)user;
    fclose(out);
}

int qemu_plugin_install(PluginId id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "begin=", 6))
            begin = strtoull(argv[i] + 6, NULL, 0);
        else if (!strncmp(argv[i], "end=", 4))
            end = strtoull(argv[i] + 4, NULL, 0);
        else if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    if (!out)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    qemu_plugin_register_atexit_cb(id, on_exit_of_program, NULL);
    return 0;
}
