/* math.c - scalar functions of the generated code.
 *
 * float: plain C without branches or library calls, so that compilers turn a
 * loop over them into SIMD code. Round to nearest, no -ffast-math. Measured
 * over every 53rd float against double (MCUFC_LONG=1 math_test), in units of
 * the last place: exp 1.0, expm1 1.7, log 0.9, tanh 2.5, sigmoid 2.4, erf
 * 1.8. Coefficients are minimax fits of relative error.
 * double: libm.
 */
#include "kernel.h"

KERNEL inline uint32_t mcu_bits(float x)
{
    uint32_t u;

    memcpy(&u, &x, 4);
    return u;
}

KERNEL inline float mcu_float(uint32_t u)
{
    float x;

    memcpy(&x, &u, 4);
    return x;
}

KERNEL inline float mcu_fabs_f32(float x)
{
    return mcu_float(mcu_bits(x) & 0x7fffffffu);
}

KERNEL inline double mcu_fabs_f64(double x)
{
    return fabs(x);
}

/* |x| with the sign of y */
KERNEL inline float mcu_sign_f32(float x, float y)
{
    return mcu_float((mcu_bits(x) & 0x7fffffffu) |
                     (mcu_bits(y) & 0x80000000u));
}

/* to the nearest integer, ties to even; exact, keeps -0 */
KERNEL inline float mcu_rint_f32(float x)
{
    const float a = mcu_fabs_f32(x), r = (a + 8388608.0f) - 8388608.0f;

    return mcu_sign_f32(a < 8388608.0f ? r : a, x);
}

KERNEL inline float mcu_floor_f32(float x)
{
    const float r = mcu_rint_f32(x);

    return mcu_sign_f32(r > x ? r - 1.0f : r, x);
}

KERNEL inline float mcu_ceil_f32(float x)
{
    const float r = mcu_rint_f32(x);

    return mcu_sign_f32(r < x ? r + 1.0f : r, x);
}

KERNEL inline double mcu_rint_f64(double x)
{
    return rint(x);
}

KERNEL inline double mcu_floor_f64(double x)
{
    return floor(x);
}

KERNEL inline double mcu_ceil_f64(double x)
{
    return ceil(x);
}

/* into 0..1 */
KERNEL inline T mcu_unit_T(T x)
{
    return x < (T)0 ? (T)0 : x > (T)1 ? (T)1 : x;
}

/* c ? a : b by masks. Where one side of a plain ?: is still to be computed,
 * compilers make branches of it, and then no SIMD code without AVX-512. */
KERNEL inline float mcu_select(int c, float a, float b)
{
    const uint32_t m = 0u - (uint32_t)c;

    return mcu_float((mcu_bits(a) & m) | (mcu_bits(b) & ~m));
}

/* x within lo..hi; NaN stays NaN */
KERNEL inline float mcu_clamp(float x, float lo, float hi)
{
    return mcu_select(x > hi, hi, mcu_select(x < lo, lo, x));
}

/* exp(x) = 2^n e^r with |r| <= ln2 / 2. 2^n in two factors, so that results
 * below the normal range round once and those above become infinity. */
KERNEL inline float mcu_exp_f32(float x)
{
    const float c = mcu_clamp(x, -104.0f, 89.0f);
    const float t = c * 1.44269504f + 12582912.0f;      /* n in low bits */
    const float n = t - 12582912.0f;
    const float r = (c - n * 0.693145752f) - n * 1.42860677e-6f;
    const float q = 0.49999994f + r * (0.166665196f + r * (0.0416684039f +
                    r * (0.00836889911f + r * 0.00138142216f)));
    const float p = 1.0f + (r + r * r * q);
    const uint32_t k = mcu_bits(t) - 0x4b400000u + 256u;   /* n + 256 */
    const float hi = mcu_float((k / 2u - 1u) << 23);
    const float lo = mcu_float((k - k / 2u - 1u) << 23);

    return p * hi * lo;
}

/* exp(x) - 1 = 2^n (e^r - 1) + (2^n - 1) */
KERNEL inline float mcu_expm1_f32(float x)
{
    const float c = mcu_clamp(x, -18.0f, 89.0f);
    const float t = c * 1.44269504f + 12582912.0f;
    const float n = t - 12582912.0f;
    const float r = (c - n * 0.693145752f) - n * 1.42860677e-6f;
    const float q = 0.49999997f + r * (0.16666542f + r * (0.0416672044f +
                    r * (0.00836669188f + r * 0.00138824887f)));
    const float p = r + r * r * q;
    const float half = mcu_float((mcu_bits(t) - 0x4b400000u + 126u) << 23);

    return 2.0f * (half * p + (half - 0.5f));
}

/* 2 |x| or more: the result is 1 to the last bit */
KERNEL inline float mcu_tanh_f32(float x)
{
    const float a = mcu_fabs_f32(x);
    const float e = mcu_expm1_f32(mcu_clamp(2.0f * a, 0.0f, 20.0f));

    return mcu_sign_f32(e / (e + 2.0f), x);
}

KERNEL inline float mcu_sigmoid_f32(float x)
{
    const float e = mcu_exp_f32(-mcu_fabs_f32(x));

    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* log(1 + exp(x)) = max(x, 0) + 2 atanh(e / (2 + e)), e = exp(-|x|) */
KERNEL inline float mcu_softplus_f32(float x)
{
    const float e = mcu_exp_f32(-mcu_fabs_f32(x)), s = e / (2.0f + e);
    const float z = s * s;
    const float p = 0.666666746f + z * (0.39998886f + z * (0.286166847f +
                    z * (0.214296639f + z * 0.242939711f)));

    return (x < 0.0f ? 0.0f : x) + (2.0f * s + s * z * p);
}

/* x tanh(log(1 + e^x)) = x e (e + 2) / (e (e + 2) + 2) */
KERNEL inline float mcu_mish_f32(float x)
{
    const float e = mcu_exp_f32(mcu_clamp(x, -104.0f, 20.0f));
    const float w = e * (e + 2.0f);

    return x * (w / (w + 2.0f));
}

/* x = 2^n m with m in [2/3, 4/3) */
KERNEL inline float mcu_log_f32(float x)
{
    const int tiny = x < 1.17549435e-38f;
    const float big = mcu_select(tiny, x * 8388608.0f, x);
    const uint32_t u = mcu_bits(big);
    const uint32_t k = (u + (0x3f800000u - 0x3f2aaaabu)) >> 23;
    const float f = mcu_float(u - ((k - 127u) << 23)) - 1.0f;
    const float n = mcu_float(k | 0x4b000000u) -    /* 2^23 + k */
                    mcu_select(tiny, 8388758.0f, 8388735.0f);
    const float p = 0.333332151f + f * (-0.249997973f + f * (0.200104266f +
                    f * (-0.166805148f + f * (0.140054956f +
                    f * (-0.121838383f + f * (0.139864519f +
                    f * -0.128937304f))))));
    const float y = n * 0.693359375f +
                    (f + (f * f * (f * p - 0.5f) - n * 2.12194440e-4f));

    const float low = mcu_select(x < 0.0f, NAN, -INFINITY);

    return mcu_select(x < INFINITY, mcu_select(x > 0.0f, y, low), x);
}

/* exp(z * z) erfc(z) for z >= 0 */
KERNEL inline float mcu_erfcx_f32(float z)
{
    const float t = 1.0f / (1.0f + 0.3f * z);

    return t * (0.169187695f + t * (0.170719698f + t * (0.148311704f +
           t * (0.215019643f + t * (-0.0948447287f + t * (0.547970951f +
           t * (-0.512476146f + t * (0.485650599f + t *
           -0.12953943f))))))));
}

KERNEL inline float mcu_erf_f32(float x)
{
    const float a = mcu_fabs_f32(x), z = a * a;
    const float p = 0.128379121f + z * (-0.37612325f + z * (0.112801805f +
                    z * (-0.0267113205f + z * (0.00491756108f +
                    z * -0.00056314579f))));
    const float tail = 1.0f - mcu_exp_f32(-z) * mcu_erfcx_f32(a);

    return mcu_sign_f32(mcu_select(a < 1.0f, a + a * p, tail), x);
}

/* x times the normal distribution's Phi(x), accurate in its tail too */
KERNEL inline float mcu_gelu_f32(float x)
{
    const float a = mcu_fabs_f32(x);
    const float q = 0.5f * mcu_exp_f32(-0.5f * (a * a)) *
                    mcu_erfcx_f32(a * 0.707106781f);

    return x * mcu_select(x > 0.0f, 1.0f - q, q);
}

KERNEL inline double mcu_exp_f64(double x)
{
    return exp(x);
}

KERNEL inline double mcu_expm1_f64(double x)
{
    return expm1(x);
}

KERNEL inline double mcu_tanh_f64(double x)
{
    return tanh(x);
}

KERNEL inline double mcu_sigmoid_f64(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

KERNEL inline double mcu_softplus_f64(double x)
{
    return (x < 0.0 ? 0.0 : x) + log1p(exp(-fabs(x)));
}

KERNEL inline double mcu_mish_f64(double x)
{
    return x * tanh(mcu_softplus_f64(x));
}

KERNEL inline double mcu_log_f64(double x)
{
    return log(x);
}

KERNEL inline double mcu_erf_f64(double x)
{
    return erf(x);
}

KERNEL inline double mcu_gelu_f64(double x)
{
    return 0.5 * x * erfc(-0.70710678118654752 * x);
}

KERNEL inline float mcu_sqrt_f32(float x)
{
    return sqrtf(x);
}

KERNEL inline double mcu_sqrt_f64(double x)
{
    return sqrt(x);
}

KERNEL inline float mcu_pow_f32(float x, float y)
{
    return powf(x, y);
}

KERNEL inline double mcu_pow_f64(double x, double y)
{
    return pow(x, y);
}

/* remainder with the sign of the divisor */
KERNEL inline float mcu_mod_f32(float x, float y)
{
    const float r = fmodf(x, y);

    if (r == 0.0f)
        return copysignf(0.0f, y);
    return (r < 0.0f) != (y < 0.0f) ? r + y : r;
}

KERNEL inline double mcu_mod_f64(double x, double y)
{
    const double r = fmod(x, y);

    if (r == 0.0)
        return copysign(0.0, y);
    return (r < 0.0) != (y < 0.0) ? r + y : r;
}
