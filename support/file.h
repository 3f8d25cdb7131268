/* file.h - whole files into memory. */
#ifndef MCUFC_FILE_H
#define MCUFC_FILE_H

#include <stdint.h>

#include "arena.h"
#include "diag.h"

typedef struct FileBytes {
    uint8_t *data;              /* aligned to 64 bytes; never NULL; two zeros
                                   behind what file_read read */
    size_t n;
} FileBytes;

/* The whole of a file (pipes too) of at most `max` bytes. Errors name the
 * path and what the system said. */
bool file_read(const char *path, size_t max, Arena *arena, Diag *diag,
               FileBytes *out);
/* n bytes at `offset` of the open file fd; false at an early end */
bool file_read_at(int fd, void *p, size_t n, uint64_t offset);

#endif
