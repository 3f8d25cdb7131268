/* observe.c - from the values that a tensor takes to a range for its codes.
 *
 * Four observers make candidates: the smallest and largest value; percentiles
 * that leave out the rarest; the range of least squared error; the range of
 * least relative entropy (as in TensorRT's calibration, Migacz, GTC 2017).
 * calibrate.c tries the candidates on the ops that read the tensor.
 */
#include "ptq_int.h"

#include <math.h>
#include <string.h>

void hist_init(Hist *h, Arena *a)
{
    memset(h, 0, sizeof *h);
    h->bin = NEW_ARRAY(a, int64_t, HIST_BINS);
}

/* Bins twice as wide. Bin i stands for [(i - B/2) w, (i - B/2 + 1) w). */
static void widen(Hist *h)
{
    int half = HIST_BINS / 2;

    for (int i = 0; i < half / 2; i++) {    /* from zero outwards */
        int up = half + i, down = half - 1 - i;
        h->bin[up] = h->bin[half + 2 * i] + h->bin[half + 2 * i + 1];
        h->bin[down] = h->bin[half - 1 - 2 * i] + h->bin[half - 2 - 2 * i];
    }
    for (int i = half / 2; i < half; i++)
        h->bin[half + i] = h->bin[half - 1 - i] = 0;
    h->w *= 2;
}

static void cover(Hist *h, double peak)
{
    if (peak == 0)
        return;
    if (h->w == 0)
        h->w = ldexp(1, ilogb(peak) + 1) / (HIST_BINS / 2);
    while (peak >= h->w * (HIST_BINS / 2))
        widen(h);
}

void hist_add(Hist *h, const float *x, int64_t n)
{
    double peak;

    for (int64_t i = 0; i < n; i++) {
        h->lo = (double)x[i] < h->lo ? (double)x[i] : h->lo;
        h->hi = (double)x[i] > h->hi ? (double)x[i] : h->hi;
    }
    peak = h->hi > -h->lo ? h->hi : -h->lo;
    cover(h, peak);
    for (int64_t i = 0; i < n; i++) {
        int k;
        if (x[i] == 0) {
            h->zeros++;
            continue;
        }
        k = (int)floor((double)x[i] / h->w) + HIST_BINS / 2;
        h->bin[k < 0 ? 0 : k < HIST_BINS ? k : HIST_BINS - 1]++;
    }
}

static double center(const Hist *h, int i)
{
    return (i - HIST_BINS / 2 + 0.5) * h->w;
}

static int64_t total(const Hist *h)
{
    int64_t n = h->zeros;

    for (int i = 0; i < HIST_BINS; i++)
        n += h->bin[i];
    return n;
}

/* ranges hold zero, which padding and clamping need exactly */
Grid grid_for(DType dt, double lo, double hi)
{
    int64_t qlo = -((int64_t)1 << (dtype_bits(dt) - 1)), qhi = -qlo - 1;
    Grid g = { dt, 1, 0 };
    double scale, zp;

    lo = lo < 0 ? lo : 0;
    hi = hi > 0 ? hi : 0;
    if (dt == DT_I16) {         /* symmetric: nothing to gain */
        hi = hi > -lo ? hi : -lo;
        lo = -hi;
        qlo = -qhi;
    }
    scale = (hi - lo) / (double)(qhi - qlo);
    if (!(scale > 1e-30))       /* a tensor of zeros */
        return g;
    g.scale = (float)scale;
    zp = rint((double)qlo - lo / scale);
    g.zp = zp < (double)qlo ? qlo : zp > (double)qhi ? qhi : (int64_t)zp;
    return g;
}

Grid class_grid(const Class *c, double lo, double hi)
{
    Grid g;

    if (!c->state)
        return grid_for(DT_I8, lo, hi);
    g = grid_for(DT_I8, -fmax(-lo, hi), fmax(-lo, hi) * (127.0 / 128));
    g.zp = 0;
    return g;
}

/* As QuantizeLinear and DequantizeLinear of the interpreter do it. */
float grid_round(const Grid *g, float x)
{
    float hi = g->dt == DT_I16 ? 32767 : 127, lo = -hi - 1;
    float zp = (float)g->zp, q = rintf(x / g->scale);

    q = q < lo - zp ? lo - zp : q;
    q = q > hi - zp ? hi - zp : q;
    return q * g->scale;
}

void grid_round_all(const Grid *g, float *x, int64_t n)
{
    if (g->dt == DT_NONE)
        return;
    for (int64_t i = 0; i < n; i++)
        x[i] = grid_round(g, x[i]);
}

static double range_error(const Hist *h, double lo, double hi)
{
    Grid g = grid_for(DT_I8, lo, hi);
    double sum = 0, step = (double)g.scale * (double)g.scale / 12;

    for (int i = 0; i < HIST_BINS; i++) {
        float x = (float)center(h, i);
        double d;
        if (!h->bin[i])
            continue;
        /* inside, bins may be wider than a step: the expected error then */
        d = x > (float)lo && x < (float)hi
                ? 0 : (double)x - (double)grid_round(&g, x);
        sum += (double)h->bin[i] * (d == 0 ? step : d * d);
    }
    return sum;
}

static void add_choice(Class *c, const char *name, double lo, double hi)
{
    double span = c->hist.hi - c->hist.lo;

    for (int i = 0; i < c->nchoice; i++)
        if (fabs(c->choice[i].lo - lo) + fabs(c->choice[i].hi - hi) <
            0.01 * span)
            return;
    if (c->nchoice < MAX_CHOICES)
        c->choice[c->nchoice++] = (Choice){ name, lo, hi, 0 };
}

/* lo and hi so that `share` of the values lie outside, half on each side */
static void percentile(Class *c, const char *name, double share)
{
    const Hist *h = &c->hist;
    double rest = (double)total(h) * share / 2, sum = 0;
    int a = 0, b = HIST_BINS - 1;

    while (a < HIST_BINS / 2 && sum + (double)h->bin[a] <= rest)
        sum += (double)h->bin[a++];
    for (sum = 0; b >= HIST_BINS / 2 && sum + (double)h->bin[b] <= rest; b--)
        sum += (double)h->bin[b];
    add_choice(c, name, fmax(h->lo, center(h, a) - h->w / 2),
               fmin(h->hi, center(h, b) + h->w / 2));
}

/* The two ends in turn, each where the error is least. */
static void least_squares(Class *c)
{
    const Hist *h = &c->hist;
    double lo = h->lo, hi = h->hi, best = range_error(h, lo, hi);

    for (int round = 0; round < 2; round++)
        for (int side = 0; side < 2; side++) {
            double keep = side ? hi : lo;
            for (int i = 98; i >= 20 && keep != 0; i -= 2) {
                double x = (side ? h->hi : h->lo) * i / 100;
                double e = range_error(h, side ? lo : x, side ? x : hi);
                if (e < best) {
                    best = e;
                    *(side ? &hi : &lo) = x;
                }
            }
        }
    add_choice(c, "mse", lo, hi);
}

/* Relative entropy of the values to what `codes` steps over bins [a, b) can
 * say of them; values outside count at the ends. */
static double divergence(const Hist *h, int a, int b)
{
    enum { CODES = 255 };
    double low = 0, high = 0, kl = 0, all = 0;
    int n = b - a;

    for (int i = 0; i < a; i++)
        low += (double)h->bin[i];
    for (int i = b; i < HIST_BINS; i++)
        high += (double)h->bin[i];
    for (int i = a; i < b; i++)
        all += (double)h->bin[i];
    for (int k = 0; k < CODES; k++) {
        int from = a + (int)((int64_t)n * k / CODES);
        int to = a + (int)((int64_t)n * (k + 1) / CODES), used = 0;
        double sum = 0;
        for (int i = from; i < to; i++) {
            sum += (double)h->bin[i];
            used += h->bin[i] != 0;
        }
        for (int i = from; i < to; i++) {
            double p = (double)h->bin[i] + (i == a ? low : 0) +
                       (i == b - 1 ? high : 0);
            double q = h->bin[i] ? sum / used : 0;
            if (p > 0)
                kl += p * log(p / (q > 0 ? q / all * (all + low + high)
                                         : 1e-3));
        }
    }
    return kl;
}

static void least_entropy(Class *c)
{
    const Hist *h = &c->hist;
    int half = HIST_BINS / 2, best = 100;
    double least = INFINITY;

    if (h->w == 0)
        return;
    for (int i = 30; i <= 100; i += 2) {
        int a = half + (int)floor(h->lo * i / 100 / h->w);
        int b = half + (int)ceil(h->hi * i / 100 / h->w);
        double e;
        a = a < 0 ? 0 : a;
        b = b > HIST_BINS ? HIST_BINS : b;
        if (b - a < 256)
            continue;
        e = divergence(h, a, b);
        if (e < least) {
            least = e;
            best = i;
        }
    }
    add_choice(c, "entropy", h->lo * best / 100, h->hi * best / 100);
}

void hist_choices(Class *c)
{
    c->nchoice = 0;
    add_choice(c, "min-max", c->hist.lo, c->hist.hi);
    if (c->hist.w == 0)
        return;
    least_squares(c);
    percentile(c, "99.99 %", 1e-4);
    percentile(c, "99.9 %", 1e-3);
    least_entropy(c);
}
