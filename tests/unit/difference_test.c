/* difference_test.c - how --verify tells results apart. */
#include "test.h"

#include <math.h>

#include "../../compiler/verify.h"

static bool same(DType dt, const void *got, const void *want, int64_t n)
{
    Type t = type_vector(dt, n);
    Tolerance exact = { 0, 0, 0 };
    Difference d = tensor_difference(&t, got, want, &exact);

    return difference_ok(&d, &t, &exact);
}

/* neighbours that are one double */
START_TEST(test_int64_is_exact)
{
    const int64_t a[] = { 0, INT64_C(9007199254740993) };
    const int64_t b[] = { 0, INT64_C(9007199254740992) };
    const uint64_t c[] = { UINT64_MAX }, d[] = { UINT64_MAX - 1 };

    ck_assert(same(DT_I64, a, a, 2));
    ck_assert(!same(DT_I64, a, b, 2));
    ck_assert(same(DT_U64, c, c, 1));
    ck_assert(!same(DT_U64, c, d, 1));
}
END_TEST

START_TEST(test_nan_equals_nan)
{
    const float a[] = { (float)NAN, 1 }, b[] = { (float)NAN, 2 };

    ck_assert(same(DT_F32, a, a, 2));
    ck_assert(!same(DT_F32, a, b, 2));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("difference");
    TCase *t = tcase_create("difference");

    tcase_add_test(t, test_int64_is_exact);
    tcase_add_test(t, test_nan_equals_nan);
    suite_add_tcase(s, t);
    return test_main(s);
}
