/* utf8.c - see utf8.h; RFC 3629. */
#include "utf8.h"

#include <stdint.h>

int utf8_length(const unsigned char *s)
{
    uint32_t c = s[0];
    int n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3
          : c >> 3 == 30 ? 4 : 0;

    if (n == 1)
        return c >= 32 && c != 127;
    if (n)
        c &= 0x7fu >> n;
    for (int i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if ((n == 2 && c < 0xa0) || (n == 3 && c < 0x800) ||
        (n == 4 && (c < 0x10000 || c > 0x10ffff)) ||
        (c >= 0xd800 && c < 0xe000) || c == 0x2028 || c == 0x2029)
        return 0;
    return n;
}
