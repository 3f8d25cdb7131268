/* dsa_large.c - placeholder, see below */
#include "dsa_int.h"

void dsa_large(Dsa *d)
{
    (void)d;
}
