/* kernels.h - the kernel library: C functions embedded as text at build
 * time, specialised by token replacement and pasted once per variant. The
 * files of the HTML report are embedded the same way. */
#ifndef MCUFC_KERNELS_H
#define MCUFC_KERNELS_H

typedef struct KernelFile {
    const char *name, *text;
} KernelFile;

extern const KernelFile kernel_files[];         /* ends with a NULL name */
extern const KernelFile page_files[];           /* codegen/page/ */
extern const KernelFile board_files[];          /* runtime_stub/boards/ */

#ifdef MCUFC_IR_H

typedef struct Kernels Kernels;

Kernels *kernels_new(Arena *arena, const char *prefix);
/* Make `kernel` ("softmax_T") available for element type t and second type
 * i; returns its C name. Unknown kernels are a bug of ours: abort. */
const char *kernels_use(Kernels *k, const char *kernel, DType t, DType i);
/* Text of every variant asked for, callees first. */
void kernels_paste(const Kernels *k, Buf *out);
/* Deepest stack among the variants, as their comments state it. */
int kernels_stack(const Kernels *k);
/* The same of those that were asked for since kernels_begin: a step's. */
void kernels_begin(Kernels *k);
int kernels_deepest(const Kernels *k);

/* Token replacement of kernel.h on any text: scalar expressions too. */
void kernels_substitute(Kernels *k, Buf *out, const char *text, DType t,
                        DType i);
#endif
#endif
