/* signal.c - DFT (ONNX 20; 1.23 for the inverse of half spectra), STFT (17).
 * A transform is split by the prime factors of its length. */
#include "signal.h"

#include <math.h>
#include <string.h>

#include "../hooks.h"
#include "real.h"

double *dft_table(int64_t len, Arena *a)
{
    const double pi = 3.14159265358979323846;
    double *t = NEW_ARRAY(a, double, 2 * len);

    for (int64_t k = 0; k < len; k++) {
        t[2 * k] = cos(2 * pi * (double)k / (double)len);
        t[2 * k + 1] = sin(2 * pi * (double)k / (double)len);
    }
    return t;
}

typedef struct Fft {
    int64_t len;                /* of the table */
    const double *table;
    double sign;
} Fft;

static int64_t least_factor(int64_t n)
{
    for (int64_t p = 2; p * p <= n; p++)
        if (n % p == 0)
            return p;
    return n;
}

/* y[k + q*m] = sum over r of w^(r*(k + q*m)) s[r*m + k] for one k */
static void combine(const Fft *f, int64_t n, int64_t p, int64_t k,
                    const double *s, double *y)
{
    int64_t m = n / p, unit = f->len / n;

    for (int64_t q = 0; q < p; q++) {
        double re = 0, im = 0;
        for (int64_t r = 0; r < p; r++) {
            const double *w = f->table + 2 * (r * (k + q * m) % n * unit);
            double a = s[2 * (r * m + k)], b = s[2 * (r * m + k) + 1];
            double wi = f->sign * w[1];
            re += a * w[0] - b * wi;
            im += a * wi + b * w[0];
        }
        y[2 * (k + q * m)] = re;
        y[2 * (k + q * m) + 1] = im;
    }
}

/* n points x[0], x[step], ...; the recursion is as deep as factors */
static void transform(const Fft *f, int64_t n, const double *x, int64_t step,
                      double *y, double *scratch)
{
    int64_t p = least_factor(n), m = n / p;

    if (n == 1) {
        y[0] = x[0];
        y[1] = x[1];
        return;
    }
    for (int64_t r = 0; r < p; r++)
        transform(f, m, x + 2 * r * step, step * p, scratch + 2 * r * m,
                  y + 2 * r * m);
    for (int64_t k = 0; k < m; k++)
        combine(f, n, p, k, scratch, y);
}

void dft_points(int64_t len, const double *table, bool inverse,
                const double *x, double *y, double *scratch)
{
    Fft f = { len, table, inverse ? 1 : -1 };

    transform(&f, len, x, 1, y, scratch);
}

bool dft_read(const Node *n, int64_t axis, int64_t len, Dft *d)
{
    const Attr_dft *a = ATTRS(dft, n);
    const Type *x = &n->in[0]->type;
    int last = x->rank - 1;

    if (!dtype_is_float(x->dt))
        return node_error(n, "takes floats, not %s", dtype_name(x->dt));
    if (x->rank < 2 || (x->dim[last] != 1 && x->dim[last] != 2))
        return node_error(n, "the last axis must have 1 or 2 elements");
    if (!node_axis(n, axis, x->rank, &d->axis))
        return false;
    if (d->axis == last)
        return node_error(n, "axis %lld holds the parts of complex numbers",
                          (long long)axis);
    d->outer = type_span(x, 0, d->axis);
    d->in = x->dim[d->axis];
    d->inner = type_span(x, d->axis + 1, last);
    d->inverse = a->inverse != 0;
    d->complex_in = x->dim[last] == 2;
    d->half_in = d->inverse && a->onesided;
    d->complex_out = !d->half_in;
    d->len = len >= 0 ? len : d->half_in ? 2 * (d->in - 1) : d->in;
    if (d->len < 1 || d->len > SIGNAL_LIMIT)
        return node_error(n, "cannot transform %lld points",
                          (long long)d->len);
    d->out = a->onesided && !d->inverse ? d->len / 2 + 1 : d->len;
    if (a->onesided && !d->inverse && d->complex_in)
        return node_error(n, "onesided takes real input");
    return true;
}

/* a scalar operand; the fallback when it is left out; false: run time */
static bool scalar_int(const Value *v, int64_t fallback, int64_t *out)
{
    int count = 1;

    *out = fallback;
    return !v || (value_ints(v, 1, out, &count) && count == 1);
}

static bool check_scalar(const Node *n, int i)
{
    const Value *v = node_in(n, i);

    if (!v || (dtype_is_int(v->type.dt) && type_elems(&v->type) == 1))
        return true;
    return node_error(n, "operand '%s' must be one integer", v->name);
}

static int64_t tensor_int(const Tensor *t, int64_t fallback)
{
    return t ? elem_get_int(t->type.dt, t->data, 0) : fallback;
}

bool infer_dft(Graph *g, Node *n)
{
    Type *y = &n->out[0]->type, *x = &n->in[0]->type;
    int64_t axis, len;
    Dft d;

    (void)g;
    if (!check_scalar(n, 1) || !check_scalar(n, 2))
        return false;
    if (!scalar_int(node_in(n, 1), -1, &len) ||
        !scalar_int(node_in(n, 2), -2, &axis)) {
        if (!infer_declared(n, node_in(n, 2) ? n->in[2] : n->in[1]))
            return false;
        return y->rank == x->rank && y->dt == x->dt
                   ? dft_read(n, 0, 1, &d)      /* checks the rest */
                   : node_error(n, "output is declared with another rank or "
                                "type");
    }
    if (node_in(n, 1) && len < 1)
        return node_error(n, "dft_length is %lld", (long long)len);
    if (!dft_read(n, axis, len, &d))
        return false;
    *y = *x;
    y->dim[d.axis] = d.out;
    y->dim[y->rank - 1] = d.complex_out ? 2 : 1;
    return true;
}

/* point k of the input with the half that is not there */
static void load_point(const Dft *d, const double *x, int64_t k, double *to)
{
    int64_t parts = d->complex_in ? 2 : 1, half = d->len / 2;
    bool mirror = d->half_in && k > half;
    int64_t i = mirror ? d->len - k : k;
    bool there = i < d->in && (!d->half_in || i <= half);
    const double *from = x + i * d->inner * parts;

    to[0] = there ? from[0] : 0;
    to[1] = there && d->complex_in ? (mirror ? -from[1] : from[1]) : 0;
}

static void run_dft(const Dft *d, const double *x, double *y, Arena *a)
{
    double *table = dft_table(d->len, a);
    double *in = NEW_ARRAY(a, double, 2 * d->len);
    double *out = NEW_ARRAY(a, double, 2 * d->len);
    double *tmp = NEW_ARRAY(a, double, 2 * d->len);
    double scale = d->inverse ? 1 / (double)d->len : 1;
    int64_t pi = d->complex_in ? 2 : 1, po = d->complex_out ? 2 : 1;

    for (int64_t o = 0; o < d->outer * d->inner; o++) {
        int64_t b = o / d->inner, i = o % d->inner;
        const double *from = x + (b * d->in * d->inner + i) * pi;
        double *to = y + (b * d->out * d->inner + i) * po;
        for (int64_t k = 0; k < d->len; k++)
            load_point(d, from, k, in + 2 * k);
        dft_points(d->len, table, d->inverse, in, out, tmp);
        for (int64_t k = 0; k < d->out; k++)
            for (int64_t c = 0; c < po; c++)
                to[k * d->inner * po + c] = out[2 * k + c] * scale;
    }
}

bool eval_dft(const Node *n, const Tensor *const *in, Tensor *const *out,
              Arena *scratch, Diag *diag)
{
    const Tensor *len = tensor_in(n, in, 1), *axis = tensor_in(n, in, 2);
    double *x = real_load(in[0], scratch);
    double *y = NEW_ARRAY(scratch, double, type_elems(&out[0]->type));
    Dft d;

    (void)diag;
    if (!dft_read(n, tensor_int(axis, -2), tensor_int(len, -1), &d))
        return false;
    if (d.outer * d.out * d.inner * (d.complex_out ? 2 : 1) !=
        type_elems(&out[0]->type))
        return node_error(n, "%lld points on axis %d do not make the declared "
                          "shape", (long long)d.out, d.axis);
    run_dft(&d, x, y, scratch);
    real_store(out[0], y);
    return true;
}

bool stft_read(const Node *n, int64_t step, int64_t len, Stft *s)
{
    const Type *x = &n->in[0]->type;
    const Value *w = node_in(n, 2);

    if (!dtype_is_float(x->dt))
        return node_error(n, "takes floats, not %s", dtype_name(x->dt));
    if (x->rank != 2 && (x->rank != 3 || x->dim[2] < 1 || x->dim[2] > 2))
        return node_error(n, "signal must be [batch, samples, 1 or 2]");
    if (w && (w->type.rank != 1 || w->type.dt != x->dt))
        return node_error(n, "window must be a vector of the signal's type");
    s->batch = x->dim[0];
    s->samples = x->dim[1];
    s->complex_in = x->rank == 3 && x->dim[2] == 2;
    s->window = w != NULL;
    s->step = step;
    s->len = len >= 0 ? len : w ? w->type.dim[0] : s->samples;
    if (step < 1 || s->len < 1 || s->len > s->samples ||
        s->len > SIGNAL_LIMIT)
        return node_error(n, "frames of %lld every %lld samples of %lld",
                          (long long)s->len, (long long)step,
                          (long long)s->samples);
    if (w && w->type.dim[0] != s->len)
        return node_error(n, "window has %lld samples, frames %lld",
                          (long long)w->type.dim[0], (long long)s->len);
    if (ATTRS(stft, n)->onesided && s->complex_in)
        return node_error(n, "onesided takes a real signal");
    s->frames = (s->samples - s->len) / step + 1;
    s->bins = ATTRS(stft, n)->onesided ? s->len / 2 + 1 : s->len;
    return true;
}

bool infer_stft(Graph *g, Node *n)
{
    Type *y = &n->out[0]->type, *x = &n->in[0]->type;
    int64_t step, len;
    Stft s;

    (void)g;
    if (!check_scalar(n, 1) || !check_scalar(n, 3))
        return false;
    if (!scalar_int(node_in(n, 1), 0, &step) ||
        !scalar_int(node_in(n, 3), -1, &len)) {
        if (!infer_declared(n, n->in[1]))
            return false;
        return y->rank == 4 && y->dim[0] == x->dim[0] && y->dim[3] == 2 &&
               y->dt == x->dt
                   ? stft_read(n, 1, node_in(n, 2) ? -1 : 1, &s)
                   : node_error(n, "output is declared with another shape");
    }
    if (node_in(n, 3) && len < 1)
        return node_error(n, "frame_length is %lld", (long long)len);
    if (!stft_read(n, step, len, &s))
        return false;
    *y = type_make(x->dt, 4, (int64_t[]){ s.batch, s.frames, s.bins, 2 });
    return true;
}

static void run_stft(const Stft *s, const double *x, const double *w,
                     double *y, Arena *a)
{
    double *table = dft_table(s->len, a);
    double *in = NEW_ARRAY(a, double, 2 * s->len);
    double *out = NEW_ARRAY(a, double, 2 * s->len);
    double *tmp = NEW_ARRAY(a, double, 2 * s->len);
    int64_t parts = s->complex_in ? 2 : 1;

    for (int64_t f = 0; f < s->batch * s->frames; f++) {
        const double *from = x + (f / s->frames * s->samples +
                                  f % s->frames * s->step) * parts;
        for (int64_t k = 0; k < s->len; k++) {
            double g = w ? w[k] : 1;
            in[2 * k] = from[k * parts] * g;
            in[2 * k + 1] = s->complex_in ? from[k * parts + 1] * g : 0;
        }
        dft_points(s->len, table, false, in, out, tmp);
        memcpy(y + f * s->bins * 2, out, (size_t)s->bins * 2 * sizeof *y);
    }
}

bool eval_stft(const Node *n, const Tensor *const *in, Tensor *const *out,
               Arena *scratch, Diag *diag)
{
    const Type *t = &out[0]->type;
    double *y = NEW_ARRAY(scratch, double, type_elems(t));
    Stft s;

    (void)diag;
    if (!stft_read(n, tensor_int(in[1], 0),
                   tensor_int(tensor_in(n, in, 3), -1), &s))
        return false;
    if (s.frames != t->dim[1] || s.bins != t->dim[2])
        return node_error(n, "%lld frames of %lld bins do not make the "
                          "declared shape", (long long)s.frames,
                          (long long)s.bins);
    run_stft(&s, real_load(in[0], scratch),
             real_load(tensor_in(n, in, 2), scratch), y, scratch);
    real_store(out[0], y);
    return true;
}
