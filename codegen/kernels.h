/* kernels.h - the kernel library as text, embedded at build time. */
#ifndef MCUFC_KERNELS_H
#define MCUFC_KERNELS_H

typedef struct KernelFile {
    const char *name, *text;
} KernelFile;

extern const KernelFile kernel_files[];         /* ends with a NULL name */

#endif
