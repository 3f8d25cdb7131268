/* targets.h - the table targets.def. */
#ifndef MCUFC_TARGETS_H
#define MCUFC_TARGETS_H

#include <stdint.h>

typedef struct Target {
    const char *name, *help;
    const char *flags;          /* of arm-none-eabi-gcc */
    const char *machine;        /* of QEMU; "": no board */
    uint32_t ram, qspi, qspi_bytes;
} Target;

extern const Target target_list[];      /* ends with a NULL name */

const Target *target_by_name(const char *name);         /* NULL: none */

#endif
