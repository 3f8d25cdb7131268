/* number.c - shortest decimal forms that round-trip, and their reading.
 *
 * Reading: up to 19 digits are an integer w; w * 10^e is exact in a double
 * when w < 2^53 and |e| <= 22 (Clinger, 1990), and rounding that double to
 * float is right unless it lies halfway between two floats. Everything else
 * goes to strtod. Writing: 6 to 9 digits are tried with exactly this
 * reading, so that whatever comes out is known to round-trip. */
#include "number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double ten[] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
    1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* Length of the word at s, in any case of letters; 0: another word. */
static size_t word(const char *s, const char *end, const char *what)
{
    size_t n = strlen(what);

    if ((size_t)(end - s) < n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if ((s[i] | 32) != what[i])
            return 0;
    return s + n < end && is_word(s[n]) ? 0 : n;
}

/* (0x7fc00001) behind nan: its bits */
static size_t nan_bits(const char *s, const char *end, uint64_t *bits)
{
    const char *p = s + 3;

    *bits = 0;
    if (end - s < 5 || s[0] != '(' || s[1] != '0' || s[2] != 'x')
        return 0;
    for (; p < end && p - s < 19 && *p != ')'; p++) {
        int d = is_digit(*p) ? *p - '0' : (*p | 32) - 'a' + 10;
        if (d < 0 || d > 15)
            return 0;
        *bits = *bits << 4 | (unsigned)d;
    }
    return p < end && *p == ')' ? (size_t)(p + 1 - s) : 0;
}

static size_t scan_name(const char *s, const char *end, Number *n)
{
    size_t len = word(s, end, "infinity");

    if (!len)
        len = word(s, end, "inf");
    if (len) {
        n->kind = NUMBER_INF;
        return len;
    }
    len = word(s, end, "nan");
    if (!len)
        return 0;
    n->kind = NUMBER_NAN;
    return len + nan_bits(s + len, end, &n->digits);
}

static void add_digit(Number *n, char c, bool fraction)
{
    unsigned d = (unsigned)(c - '0');

    if (!n->exact || n->digits > (UINT64_MAX - d) / 10) {
        n->exact = false;
        return;
    }
    n->digits = n->digits * 10 + d;
    n->exp10 -= fraction;
}

/* e-5 and the like; an e without digits is no exponent */
static const char *scan_exponent(const char *p, const char *end, Number *n)
{
    const char *q = p + 1;
    bool neg = q < end && *q == '-';
    int e = 0;

    if (q < end && (*q == '-' || *q == '+'))
        q++;
    if (q >= end || !is_digit(*q))
        return p;
    for (; q < end && is_digit(*q); q++)
        e = e < 10000 ? e * 10 + (*q - '0') : e;
    n->exp10 += neg ? -e : e;
    n->kind = NUMBER_REAL;
    return q;
}

size_t number_scan(const char *s, const char *end, Number *n)
{
    const char *p = s, *first;

    *n = (Number){ .kind = NUMBER_INT, .exact = true, .text = s };
    if (p < end && *p == '-') {
        n->neg = true;
        p++;
    }
    if (p < end && !is_digit(*p) && *p != '.') {
        size_t len = scan_name(p, end, n);
        return len ? (size_t)(p - s) + len : 0;
    }
    for (first = p; p < end && is_digit(*p); p++)
        add_digit(n, *p, false);
    if (p == first)
        return 0;
    if (p < end && *p == '.') {
        n->kind = NUMBER_REAL;
        for (p++; p < end && is_digit(*p); p++)
            add_digit(n, *p, true);
    }
    if (p < end && (*p | 32) == 'e')
        p = scan_exponent(p, end, n);
    return (size_t)(p - s);
}

static double special(const Number *n)
{
    double d = n->kind == NUMBER_INF ? (double)INFINITY : (double)NAN;

    return n->neg ? -d : d;
}

double number_f64(const Number *n)
{
    double d;

    if (n->kind == NUMBER_NAN && n->digits) {
        memcpy(&d, &n->digits, sizeof d);
        return d;
    }
    if (n->kind >= NUMBER_INF)
        return special(n);
    if (n->exact && !n->exp10)          /* computed ones have no text */
        return n->neg ? -(double)n->digits : (double)n->digits;
    if (!n->exact || n->digits >> 53 || n->exp10 < -22 || n->exp10 > 22)
        return strtod(n->text, NULL);
    d = (double)n->digits;
    d = n->exp10 < 0 ? d / ten[-n->exp10] : d * ten[n->exp10];
    return n->neg ? -d : d;
}

float number_f32(const Number *n)
{
    uint64_t bits;
    double d;
    float f;

    if (n->kind == NUMBER_NAN && n->digits) {
        uint32_t u = (uint32_t)n->digits;
        memcpy(&f, &u, sizeof f);
        return f;
    }
    if (n->kind >= NUMBER_INF)
        return (float)special(n);
    if (n->exact && !n->exp10)
        return n->neg ? -(float)n->digits : (float)n->digits;
    if (!n->exact || n->digits >> 53 || n->exp10 < -22 || n->exp10 > 22)
        return strtof(n->text, NULL);
    d = (double)n->digits;
    d = n->exp10 < 0 ? d / ten[-n->exp10] : d * ten[n->exp10];
    memcpy(&bits, &d, sizeof bits);
    if ((bits & 0x1fffffff) == 0x10000000 || (d != 0 && d < 1e-37))
        return strtof(n->text, NULL);   /* halfway, or a subnormal float */
    return (float)(n->neg ? -d : d);
}

bool number_u64(const Number *n, uint64_t *out)
{
    *out = n->digits;
    return n->kind == NUMBER_INT && n->exact && !n->exp10 &&
           (!n->neg || !n->digits);
}

bool number_i64(const Number *n, int64_t *out)
{
    uint64_t most = (uint64_t)INT64_MAX + n->neg;

    *out = (int64_t)(n->neg ? 0 - n->digits : n->digits);
    return n->kind == NUMBER_INT && n->exact && !n->exp10 &&
           n->digits <= most;
}

/* digits (count of them: n) with the first one worth 10^e */
static void put_digits(Buf *b, const char *digit, int n, int e)
{
    while (n > 1 && digit[n - 1] == '0')
        n--;
    if (e < -4 || e >= 16) {
        buf_putc(b, digit[0]);
        if (n > 1)
            buf_printf(b, ".%.*s", n - 1, digit + 1);
        buf_printf(b, "e%d", e);
    } else if (e < 0) {
        buf_puts(b, "0.");
        for (int i = -1; i > e; i--)
            buf_putc(b, '0');
        buf_write(b, digit, (size_t)n);
    } else {
        for (int i = 0; i < n || i <= e; i++) {
            buf_putc(b, i < n ? digit[i] : '0');
            if (i == e)
                buf_putc(b, '.');
        }
        if (n <= e + 1)
            buf_putc(b, '0');
    }
}

/* "%.*e" of the C library, whose digits are right; for what is rare */
static void put_scientific(Buf *b, double d, int precision)
{
    char text[40], digit[24];
    int n = 0, e;

    snprintf(text, sizeof text, "%.*e", precision - 1, d);
    for (char *p = text; *p && *p != 'e'; p++)
        if (is_digit(*p))
            digit[n++] = *p;
    e = atoi(strchr(text, 'e') + 1);
    put_digits(b, digit, n, e);
}

/* NaN, infinities and zeros; d is 0 or not finite */
static void put_special(Buf *b, bool neg, bool nan, bool zero, uint64_t bits,
                        uint64_t plain)
{
    if (nan && bits != plain) {
        buf_printf(b, "nan(0x%llx)", (unsigned long long)bits);
        return;
    }
    if (neg && !nan)
        buf_putc(b, '-');
    buf_puts(b, nan ? "nan" : zero ? "0.0" : "inf");
}

/* the power of ten of d's first digit; d is between 1e-13 and 1e13 */
static int decimal_exponent(double d)
{
    int e = 0;

    while (d >= ten[e + 1])
        e++;
    while (d < 1 && d * ten[-e] < 1)
        e--;
    return e;
}

/* f > 0, between 1e-12 and 1e12; false when no attempt round-trips */
static bool put_fast(Buf *b, float f)
{
    double d = (double)f;
    int e = decimal_exponent(d), shift = 8 - e;
    uint64_t nine, unit = 1000;         /* 10^(9 - n) */

    d = shift < 0 ? d / ten[-shift] : d * ten[shift];
    nine = (uint64_t)(d + 0.5);         /* f's first nine digits */
    for (int n = 6; n <= 9; n++, unit /= 10) {
        Number x = { .kind = NUMBER_REAL, .exact = true, .text = "" };
        char digit[24];
        x.digits = (nine + unit / 2) / unit;
        x.exp10 = e - n + 1;
        if (x.exp10 < -22 || x.exp10 > 22 || number_f32(&x) != f)
            continue;
        n = snprintf(digit, sizeof digit, "%llu",
                     (unsigned long long)x.digits);
        put_digits(b, digit, n, x.exp10 + n - 1);
        return true;
    }
    return false;
}

void number_put_f32(Buf *b, float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    if (!(f - f == 0) || f == 0) {
        put_special(b, bits >> 31, f != f, f == 0, bits, 0x7fc00000);
        return;
    }
    if (f < 0) {
        buf_putc(b, '-');
        f = -f;
    }
    if (f > 1e-12f && f < 1e12f && put_fast(b, f))
        return;
    for (int n = 1; n <= 9; n++) {
        char text[40];
        snprintf(text, sizeof text, "%.*e", n - 1, (double)f);
        if (n == 9 || strtof(text, NULL) == f) {
            put_scientific(b, (double)f, n);
            return;
        }
    }
}

void number_put_f64(Buf *b, double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof bits);
    if (!(d - d == 0) || d == 0) {
        put_special(b, bits >> 63, d != d, d == 0, bits,
                    0x7ff8000000000000);
        return;
    }
    if (d < 0) {
        buf_putc(b, '-');
        d = -d;
    }
    for (int n = 15; n <= 17; n++) {
        char text[40];
        snprintf(text, sizeof text, "%.*e", n - 1, d);
        if (n == 17 || strtod(text, NULL) == d) {
            put_scientific(b, d, n);
            return;
        }
    }
}
