/* targets.c - see targets.h. */
#include "targets.h"

#include <stddef.h>
#include <string.h>

const Target target_list[] = {
#define TARGET(name, help, flags, machine, ram, qspi, bytes) \
    { name, help, flags, machine, ram, qspi, bytes },
#include "targets.def"
#undef TARGET
    { NULL, NULL, NULL, NULL, 0, 0, 0 }
};

const Target *target_by_name(const char *name)
{
    for (const Target *t = target_list; t->name; t++)
        if (!strcmp(t->name, name))
            return t;
    return NULL;
}
