/* host.c - the host side of --verify: main() around model_main(), which
 * --verify writes for the model at hand (see board.h). */
#include "board.h"

#include <stdio.h>
#include <stdlib.h>

static FILE *in, *out;

int board_read(void *p, unsigned n)
{
    return fread(p, 1, n, in) != n;
}

void board_write(const void *p, unsigned n)
{
    fwrite(p, 1, n, out);
}

void board_begin(void)
{
}

void board_end(void)
{
}

const void *board_weights(void)
{
    FILE *f = fopen("w.bin", "rb");
    void *p = NULL;
    long n;

    if (f && fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) >= 0 &&
        (p = malloc((size_t)n + 1)) != NULL) {
        rewind(f);
        if (fread(p, 1, (size_t)n, f) != (size_t)n)
            exit(3);
    }
    return p;
}

int main(void)
{
    int rc;

    in = fopen("in.bin", "rb");
    out = fopen("out.bin", "wb");
    if (!in || !out)
        return 2;
    rc = model_main();
    return fclose(out) ? 6 : rc;
}
