/* number.h - numbers as text, exactly: what is written reads back as the
 * same bits, in as few digits as that takes. Independent of the locale and,
 * in all but rare cases, of libm. */
#ifndef MCUFC_NUMBER_H
#define MCUFC_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

typedef enum NumberKind { NUMBER_INT, NUMBER_REAL, NUMBER_INF, NUMBER_NAN }
    NumberKind;

typedef struct Number {
    NumberKind kind;
    bool neg;
    bool exact;                 /* the value is digits * 10^exp10 */
    uint64_t digits;            /* NaN: the bits, 0 when none are given */
    int exp10;
    const char *text;           /* where it starts; text ends behind it */
} Number;

/* Reads a number at s: 12, -0.5, 1e-5, inf, -nan, nan(0x7fc00001). Returns
 * its length, 0 when there is none. What follows must not be part of a
 * longer number, and *end must be readable. */
size_t number_scan(const char *s, const char *end, Number *n);
float number_f32(const Number *n);
double number_f64(const Number *n);
/* false: not an integer, or outside the range */
bool number_i64(const Number *n, int64_t *out);
bool number_u64(const Number *n, uint64_t *out);

/* Always with a point, an exponent or a name, so that it reads as a float. */
void number_put_f32(Buf *b, float f);
void number_put_f64(Buf *b, double d);

#endif
