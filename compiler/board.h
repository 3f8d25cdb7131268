/* board.h - building and running a verification program: on the host, or on
 * the board of --target under QEMU, with an STM32F746's memory. The folder
 * holds model.c, model_main.c and in.bin (and w.bin with --weights-file);
 * out.bin comes out.
 */
#ifndef MCUFC_BOARD_H
#define MCUFC_BOARD_H

#include "../codegen/targets.h"
#include "compile.h"

/* False after a message. */
bool host_run(Compile *c, const char *dir);
/* Also prints instructions, stack, RAM and flash. */
bool board_run(Compile *c, const char *dir, const Codegen *cg);
/* All files that the two leave behind. */
void board_clean(Compile *c, const char *dir);

#endif
