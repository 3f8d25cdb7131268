/* requant_test.c - multipliers chosen by requant_choose against float
 * arithmetic: the sums at which a code begins. MCUFC_SHOW=1 prints how many
 * begin elsewhere, with the nearest multiplier and with the chosen one.
 */
#include "test.h"

#include <math.h>
#include <stdint.h>

#include "../../ir/ops/quant.h"
#include "../../ir/requant.h"

static uint64_t state = 1;

static double uniform(void)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

static int64_t in_float(float factor, int64_t acc, const QParam *y)
{
    float sum = (float)acc, product = sum * factor;
    double code = rint((double)product) + (double)y->zero;

    return code < (double)y->least ? y->least
         : code > (double)y->most ? y->most : (int64_t)code;
}

/* Codes that differ on the three sums next to each code's beginning, the
 * nearer to zero the more they count: 1024, half every 32 codes. */
static int differ(double factor, int l, int32_t mult, const QParam *y)
{
    Requant r = { l, 1, &mult, y->zero, y->least, y->most, NULL };
    int n = 0;

    for (int64_t code = y->least + 1; code <= y->most; code++) {
        double at = floor(((double)(code - y->zero) - 0.5) / factor + 0.5);
        for (int64_t acc = (int64_t)at - 1; acc <= (int64_t)at + 1; acc++)
            if (requant(&r, 0, acc) != in_float((float)factor, acc, y))
                n += 1024 >> (llabs(code - y->zero) / 32);
    }
    return n;
}

/* factors of 2^from to 2^(from + 2); the least l for the greatest of them */
static void compare(int from, int *nearest, int *chosen)
{
    DType dt = uniform() < 0.5 ? DT_I8 : DT_U8;
    int64_t zero = (int64_t)(uniform() * 256) + dtype_lowest(dt);
    QParam y = { dt, 1, zero, dtype_lowest(dt), dtype_highest(dt) };
    double factor = (double)(float)ldexp(1 + 3 * uniform(), from);
    int l = from + 3 > 0 ? from + 3 : 0;
    int32_t m = (int32_t)floor(ldexp(factor, 32 - l) + 0.5);

    *nearest += differ(factor, l, m, &y);
    *chosen += differ(factor, l, requant_choose(factor, l, &y), &y);
}

START_TEST(codes_begin_where_those_of_floats_begin)
{
    int nearest = 0, chosen = 0;

    for (int i = 0; i < 2000; i++)
        compare(_i, &nearest, &chosen);
    if (getenv("MCUFC_SHOW"))
        printf("factors from 2^%d: codes differ, weighted: %d, with nearest "
               "multipliers %d\n", _i, chosen / 1024, nearest / 1024);
    ck_assert_int_le(chosen, nearest);
    if (_i >= -9 && _i < -4)    /* bits enough, and ties seldom conflict */
        ck_assert_int_le(2 * chosen, nearest);
}
END_TEST

/* a factor of few bits has ties that no multiplier moves: they go up */
START_TEST(exact_ties_go_up)
{
    QParam y = { DT_I8, 1, 0, -128, 127 };

    for (int k = 2; k <= 20; k++)
        ck_assert_int_eq(requant_choose(ldexp(1, -k), 0, &y),
                         (int32_t)1 << (32 - k));
}
END_TEST

START_TEST(wide_results_take_the_nearest)
{
    QParam y = { DT_I16, 1, 0, -32768, 32767 };

    for (int i = 0; i < 1000; i++) {
        double factor = (double)(float)ldexp(1 + uniform(), -6);
        ck_assert_int_eq(requant_choose(factor, 0, &y),
                         (int32_t)floor(ldexp(factor, 32) + 0.5));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("requantization");
    TCase *t = tcase_create("multipliers");

    tcase_add_loop_test(t, codes_begin_where_those_of_floats_begin, -14, 4);
    tcase_add_test(t, exact_ties_go_up);
    tcase_add_test(t, wide_results_take_the_nearest);
    suite_add_tcase(s, t);
    return test_main(s);
}
