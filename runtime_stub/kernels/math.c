/* math.c - scalar functions that vectorize, for the generated code. */
#include "kernel.h"
