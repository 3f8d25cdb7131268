/* requant_choose.c - which of the multipliers next to a factor. ONNX Runtime
 * requantizes sums in float: acc times factor, rounded to 24 bits, then to
 * the nearest integer, ties to even. Next to a tie the fixed-point form with
 * the nearest multiplier may give the other code; since networks can be
 * chaotic, one such code in a million moves the outputs by several steps.
 * The codes are monotone in the sum in both forms, so they are equal when
 * every code begins at the same sum: an interval of multipliers per code. The
 * multiplier in most intervals is taken, where codes near zero, which are the
 * most frequent ones, have more weight. It depends on the factor, the shift
 * and the type of y alone, so that parts of a layer, and layers with their
 * clamp fused or not, choose alike. */
#include "requant.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/quant.h"

double requant_factor(double a, double b, double y)
{
    float product = (float)a * (float)b;
    float f = product / (float)y;

    return isnormal(product) && isnormal(f) ? (double)f : a * b / y;
}

static bool begun(float factor, int64_t acc, int64_t code)
{
    float sum = (float)acc, product = sum * factor;

    return rint((double)product) >= (double)code;
}

/* The least sum whose code, without the zero point, is `code` or more. */
static int64_t first_sum(float factor, int64_t near, int64_t code)
{
    while (begun(factor, near - 1, code))
        near--;
    while (!begun(factor, near, code))
        near++;
    return near;
}

typedef struct Range {
    int64_t lo, hi;
} Range;

/* The multipliers with which `code` begins at sum `at`: those for which
 * at * 2^l * m reaches (2 * code - 1) * 2^31 and (at - 1) * 2^l * m does
 * not. Neither is 0 except where it says nothing about m. */
static Range begins_at(int64_t at, int64_t code, int l)
{
    int64_t bound = 2 * code - 1, one = (int64_t)1 << l;
    int64_t edge = (bound < 0 ? -bound : bound) * ((int64_t)1 << 31);
    Range r = { 0, INT32_MAX };

    if (bound > 0) {
        int64_t in = at * one, before = (at - 1) * one;
        r.lo = (edge + in - 1) / in;
        if (before)
            r.hi = (edge + before - 1) / before - 1;
    } else {
        int64_t in = -at * one, before = (1 - at) * one;
        if (in)
            r.hi = edge / in;
        r.lo = edge / before + 1;
    }
    return r;
}

enum { NEAR = 22, WINDOW = 2 * ((1 << (31 - NEAR)) + 1) + 1 };

/* votes[i]: how many codes want multiplier `first` + i and those behind it,
 * less those that do not want them any more */
typedef struct Ballot {
    double factor, inverse;
    double most, near;          /* larger sums, and others, say nothing */
    int l;
    int64_t first, last;
    bool any;                   /* else votes are not set */
    int votes[WINDOW + 1];
} Ballot;

/* half every 32 codes */
static int weight(int64_t code)
{
    return 1024 >> (llabs(code) / 32);
}

static void vote(Ballot *b, int64_t at, int64_t code)
{
    Range r = begins_at(first_sum((float)b->factor, at, code), code, b->l);

    r.lo = r.lo > b->first ? r.lo : b->first;
    r.hi = r.hi < b->last ? r.hi : b->last;
    if (r.lo > r.hi)
        return;
    if (!b->any)
        memset(b->votes, 0, sizeof b->votes);
    b->any = true;
    b->votes[r.lo - b->first] += weight(code);
    b->votes[r.hi + 1 - b->first] -= weight(code);
}

/* Most codes begin far from a tie, with all multipliers at the same sum:
 * compilers spend their time here. */
static void vote_if_near(Ballot *b, int64_t code)
{
    double begin = ((double)code - 0.5) * b->inverse, size = fabs(begin);
    int64_t at = (int64_t)(begin + 0.5);

    at -= (double)at > begin + 0.5;
    if (fabs(begin - (double)at) > size * b->near || size > b->most ||
        (double)at * b->factor == (double)code - 0.5)   /* an exact tie */
        return;
    vote(b, at, code);
}

/* the one of most votes, of several the one nearest to `nearest` */
static int32_t winner(const Ballot *b, int64_t nearest)
{
    int64_t best = nearest;
    int votes = 0, most = -1;

    for (int64_t m = b->first; m <= b->last; m++) {
        votes += b->votes[m - b->first];
        if (votes > most ||
            (votes == most && llabs(m - nearest) < llabs(best - nearest))) {
            most = votes;
            best = m;
        }
    }
    return (int32_t)best;
}

int32_t requant_choose(double factor, int l, const QParam *y)
{
    int64_t nearest = (int64_t)floor(ldexp(factor, 32 - l) + 0.5);
    int64_t far = (nearest >> NEAR) + 1;
    int64_t lowest = dtype_lowest(y->dt) - y->zero;
    int64_t highest = dtype_highest(y->dt) - y->zero;
    Ballot b;

    if (dtype_bits(y->dt) > 8 || nearest < 4 || factor < (double)FLT_MIN)
        return (int32_t)nearest;
    b.factor = factor;
    b.inverse = 1 / factor;
    b.l = l;
    b.first = nearest - far;
    b.last = nearest + far < INT32_MAX ? nearest + far : INT32_MAX;
    b.most = ldexp(1, 31 - l);
    b.near = ldexp(1, 1 - NEAR) + 4 / (double)b.first;
    b.any = false;
    for (int64_t code = lowest + 1; code <= highest; code++)
        vote_if_near(&b, code);
    return b.any ? winner(&b, nearest) : (int32_t)nearest;
}
