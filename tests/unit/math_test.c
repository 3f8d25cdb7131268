/* math_test.c - the float kernels of math.c against libm in double, over a
 * stride through all 2^32 floats (every 53rd with MCUFC_LONG set).
 */
#include "test.h"

#include <float.h>
#include <math.h>
#include <stdint.h>

#include "../../ir/ir.h"
#include "../../runtime_stub/kernels/math.c"

typedef struct Function {
    const char *name;
    float (*got)(float);
    double (*want)(double);
    double ulps;                /* allowed */
} Function;

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static double mish(double x)
{
    return x * tanh(log1p(exp(x)));
}

static double gelu(double x)
{
    return 0.5 * x * erfc(x * -0.70710678118654752440);
}

static const Function functions[] = {
    { "exp", mcu_exp_f32, exp, 2 },
    { "expm1", mcu_expm1_f32, expm1, 2.5 },
    { "log", mcu_log_f32, log, 2 },
    { "tanh", mcu_tanh_f32, tanh, 4 },
    { "sigmoid", mcu_sigmoid_f32, sigmoid, 4 },
    { "softplus", mcu_softplus_f32, softplus, 4 },
    { "mish", mcu_mish_f32, mish, 64 },      /* x e^x below 2^-126 */
    { "erf", mcu_erf_f32, erf, 4 },
    { "gelu", mcu_gelu_f32, gelu, 200 },     /* x * x in the far tail */
    { "floor", mcu_floor_f32, floor, 0 },
    { "ceil", mcu_ceil_f32, ceil, 0 },
    { "rint", mcu_rint_f32, rint, 0 },
    { "fabs", mcu_fabs_f32, fabs, 0 },
};

/* distance of got from want in units of want's last place as a float */
static double ulps(float got, double want)
{
    double unit = ldexp(1, ilogb(want) - 23), g = (double)got;

    if (want != want)
        return got != got ? 0 : INFINITY;
    if (fabs(want) < (double)FLT_MIN)
        unit = (double)FLT_TRUE_MIN;
    if (fabs(want) >= 0x1.ffffffp127)       /* rounds to infinity */
        return (double)got == (want > 0 ? INFINITY : -INFINITY) ? 0 : INFINITY;
    return fabs(g - want) / unit;
}

static void sweep(const Function *f)
{
    uint64_t step = getenv("MCUFC_LONG") ? 53 : 4099;
    double worst = 0;
    float where = 0;

    for (uint64_t u = 0; u < (uint64_t)1 << 32; u += step) {
        float x = mcu_float((uint32_t)u), y = f->got(x);
        double e = ulps(y, f->want((double)x));
        if (!(e <= worst)) {
            worst = e;
            where = x;
        }
    }
    printf("%-9s %6.2f ulp at %a (%g)\n", f->name, worst, (double)where,
           (double)where);
    ck_assert_msg(worst <= f->ulps, "%s: %g ulp at %a", f->name, worst,
                  (double)where);
}

START_TEST(functions_are_accurate)
{
    sweep(&functions[_i]);
}
END_TEST

START_TEST(special_values)
{
    ck_assert(mcu_exp_f32(0.0f) == 1.0f);
    ck_assert(mcu_exp_f32(-INFINITY) == 0.0f);
    ck_assert(isinf(mcu_exp_f32(INFINITY)));
    ck_assert(isnan(mcu_exp_f32(NAN)));
    ck_assert(isnan(mcu_tanh_f32(NAN)) && isnan(mcu_sigmoid_f32(NAN)));
    ck_assert(isnan(mcu_erf_f32(NAN)) && isnan(mcu_log_f32(-1.0f)));
    ck_assert(isinf(mcu_log_f32(0.0f)) && mcu_log_f32(1.0f) == 0.0f);
    ck_assert(signbit(mcu_tanh_f32(-0.0f)) && signbit(mcu_erf_f32(-0.0f)));
    ck_assert(signbit(mcu_ceil_f32(-0.5f)) && signbit(mcu_rint_f32(-0.5f)));
    ck_assert(mcu_rint_f32(2.5f) == 2.0f && mcu_rint_f32(3.5f) == 4.0f);
    ck_assert(mcu_tanh_f32(INFINITY) == 1.0f);
    ck_assert(mcu_sigmoid_f32(-INFINITY) == 0.0f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("math");
    TCase *t = tcase_create("math");
    int n = sizeof functions / sizeof functions[0];

    tcase_set_timeout(t, 0);
    tcase_add_loop_test(t, functions_are_accurate, 0, n);
    tcase_add_test(t, special_values);
    suite_add_tcase(s, t);
    return test_main(s);
}
