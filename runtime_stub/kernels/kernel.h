/* kernel.h - lets every kernel file compile as it stands, for editors and
 * unit tests. It is not part of generated code: codegen pastes single
 * functions and replaces the names below.
 *
 * A kernel is a function between `KERNEL` at the start of a line (it becomes
 * `static`) and the first line that is a lone `}`, with the comment block
 * above it. Identifiers are replaced as whole tokens:
 *   mcu_NAME      the model's prefix: kws_NAME
 *   T, I          C types of the element and of a second type (indices)
 *   U, A          unsigned type for wrapping arithmetic on T (uint32_t or
 *                 uint64_t); accumulator: float, double, int64_t, uint64_t
 *   ..._T, ..._T_I  at the end of a name: suffixes _f32, _f32_s64
 *   T_LOWEST, T_HIGHEST   least and greatest value of T (float: infinity)
 *   ..._s8        at the end of a name: the kernel ..._T for that type
 * A kernel may call other kernels by these names; they are pasted first.
 */
#ifndef MCU_KERNEL_H
#define MCU_KERNEL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KERNEL static __attribute__((unused))
#ifndef T
#define T float
#define I int64_t
#define U uint32_t
#define A float
#define T_LOWEST (-INFINITY)
#define T_HIGHEST INFINITY
#endif

#endif
