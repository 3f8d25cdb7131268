/* selftest.h - --selftest: golden data inside the generated file. */
#ifndef MCUFC_SELFTEST_H
#define MCUFC_SELFTEST_H

#include "codegen.h"

/* Golden inputs and outputs, and NAME_selftest(), under #ifdef. */
bool selftest_write(const Codegen *cg, const CodegenOptions *opt, FILE *out);

#endif
