/* board.c - start-up and semihosting for Cortex-M boards under QEMU.
 *
 * Everything a bare program needs: vectors, floating point and loop
 * extensions switched on, .data copied, .bss cleared, the stack painted to
 * find its high-water mark, files of the host through semihosting
 * (Arm IHI 0203: BKPT 0xAB, operation in r0, argument in r1). No C library
 * start-up, no heap.
 */
#include "board.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SYS_OPEN = 1, SYS_CLOSE = 2, SYS_WRITE = 5, SYS_READ = 6,
    SYS_EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026,
    READ_BINARY = 1, WRITE_BINARY = 5
};

#define PAINT 0xA5A5A5A5u
#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define CCR (*(volatile uint32_t *)0xE000ED14u)
#define CFSR (*(volatile uint32_t *)0xE000ED28u)

/* board.ld */
extern uint32_t stack_top[], stack_limit[];
extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[];
extern uint8_t text_start[], text_end[], tables_start[], tables_end[],
               weights_start[], weights_end[], ram_start[];

static uint32_t in, out, deepest;

static uint32_t semihost(uint32_t op, const void *arg)
{
    register uint32_t r0 __asm__("r0") = op;
    register const void *r1 __asm__("r1") = arg;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t address(const volatile void *p)
{
    return (uint32_t)(uintptr_t)p;
}

static void stop(uint32_t code)
{
    const uint32_t arg[2] = { APPLICATION_EXIT, code };

    semihost(SYS_EXIT_EXTENDED, arg);
    for (;;)
        ;
}

static uint32_t file_open(const char *name, uint32_t mode)
{
    uint32_t n = 0, arg[3], f;

    while (name[n])
        n++;
    arg[0] = address(name);
    arg[1] = mode;
    arg[2] = n;
    f = semihost(SYS_OPEN, arg);
    if (f == UINT32_MAX)
        stop(2);
    return f;
}

/* Both return how many bytes did not go. */
static uint32_t transfer(uint32_t op, uint32_t file, const void *p, uint32_t n)
{
    const uint32_t arg[3] = { file, address(p), n };

    return n ? semihost(op, arg) : 0;
}

int board_read(void *p, unsigned n)
{
    return transfer(SYS_READ, in, p, n) != 0;
}

void board_write(const void *p, unsigned n)
{
    if (transfer(SYS_WRITE, out, p, n))
        stop(6);
}

/* weights.S, where the model has a file of weights */
extern const uint8_t board_blob[] __attribute__((weak));

const void *board_weights(void)
{
    return board_blob;
}

/* The counting plugin watches these two addresses (board.ld). */
__attribute__((naked, noinline, section(".mark_begin"))) static void
mark_begin(void)
{
    __asm__("bx lr");
}

__attribute__((naked, noinline, section(".mark_end"))) static void
mark_end(void)
{
    __asm__("bx lr");
}

void board_begin(void)
{
    uint32_t *sp;

    __asm__ volatile("mov %0, sp" : "=r"(sp));
    for (volatile uint32_t *p = stack_limit; p < sp - 4; p++)
        *p = PAINT;
    mark_begin();
}

void board_end(void)
{
    const volatile uint32_t *p = stack_limit;
    uint32_t used;

    mark_end();
    while (p < stack_top && *p == PAINT)
        p++;
    used = address(stack_top) - address(p);
    deepest = used > deepest ? used : deepest;
}

/* sizes.bin: what compiler/target.c reads (struct BoardSizes) */
static void write_sizes(void)
{
    const uint32_t sizes[] = {
        address(text_end) - address(text_start),
        address(tables_end) - address(tables_start),
        address(weights_end) - address(weights_start),
        address(bss_end) - address(ram_start),
        deepest,
        address(stack_top) - address(stack_limit),
    };
    uint32_t f = file_open("sizes.bin", WRITE_BINARY);

    transfer(SYS_WRITE, f, sizes, sizeof sizes);
    semihost(SYS_CLOSE, &f);
}

static void fault(void)
{
    stop(CFSR ? 99 : 98);
}

static void start(void)
{
    const uint32_t *from = data_load;
    int rc;

    for (uint32_t *p = data_start; p < data_end; p++)
        *p = *from++;
    for (uint32_t *p = bss_start; p < bss_end; p++)
        *p = 0;
#ifdef __ARM_FEATURE_MVE
    CCR |= 1u << 19;            /* low-overhead branches */
#endif
    in = file_open("in.bin", READ_BINARY);
    out = file_open("out.bin", WRITE_BINARY);
    rc = model_main();
    write_sizes();
    semihost(SYS_CLOSE, &out);
    stop((uint32_t)rc);
}

__attribute__((naked)) void reset(void);
__attribute__((naked)) void reset(void)
{
#ifdef __ARM_FP
    __asm__ volatile("str %1, [%0]\n dsb\n isb"
                     : : "r"(&CPACR), "r"(0xF00000u));
#endif
    __asm__ volatile("bx %0" : : "r"(start));
}

/* Newlib's math sets errno through this; one thread is enough. */
int *__errno(void);
int *__errno(void)
{
    static int number;

    return &number;
}

typedef void Handler(void);

__attribute__((section(".vectors"), used)) const struct {
    uint32_t *stack;
    Handler *handler[15];
} vectors = {
    stack_top,
    { reset, fault, fault, fault, fault, fault, fault, NULL, NULL, NULL,
      fault, fault, NULL, fault, fault }
};
