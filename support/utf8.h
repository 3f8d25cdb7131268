/* utf8.h - which bytes may be printed anywhere. */
#ifndef MCUFC_UTF8_H
#define MCUFC_UTF8_H

/* Bytes of the printable UTF-8 character at s (a terminated string); 0 for
 * anything else: control characters, line separators, broken sequences. */
int utf8_length(const unsigned char *s);

#endif
