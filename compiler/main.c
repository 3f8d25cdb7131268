/* main.c - the command mcufc. */
#include <stdio.h>

int main(void)
{
    puts("mcufc");
    return 0;
}
