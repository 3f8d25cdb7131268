/* window_fn.c - HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix
 * (ONNX 17), in double, after the ONNX reference. */
#include <math.h>

#include "../hooks.h"
#include "real.h"
#include "window_fn.h"

static DType number_type(int64_t dt)
{
    DType t = dt > 0 && dt < DT_MAX ? (DType)dt : DT_NONE;

    return (dtype_is_float(t) || dtype_is_int(t)) && dtype_bits(t) >= 8
               ? t : DT_NONE;
}

bool infer_window(Graph *g, Node *n)
{
    const Value *v = n->in[0];
    int64_t size = 0;
    int count = 1;
    DType dt = number_type(ATTRS(window, n)->output_datatype);
    Type *y = &n->out[0]->type;

    (void)g;
    if (dt == DT_NONE)
        return node_error(n, "output_datatype %lld is not supported",
                          (long long)ATTRS(window, n)->output_datatype);
    if (!dtype_is_int(v->type.dt) || type_elems(&v->type) != 1)
        return node_error(n, "size '%s' must be one integer", v->name);
    if (!value_ints(v, 1, &size, &count)) {
        if (!infer_declared(n, v))
            return false;
        return y->rank == 1 && y->dt == dt ? true
            : node_error(n, "output is declared with another type");
    }
    if (size < 0 || size > (1 << 24))
        return node_error(n, "size is %lld", (long long)size);
    *y = type_vector(dt, size);
    return true;
}

double window_value(const Node *n, int64_t i, int64_t size)
{
    const double pi = 3.14159265358979323846;
    double len = (double)(ATTRS(window, n)->periodic ? size : size - 1);
    double x = 2 * pi * (double)i / len, alpha = 25.0 / 46.0;

    if (len == 0)               /* one sample */
        return 1;
    if (n->op == OP_HannWindow)
        return sin(x / 2) * sin(x / 2);
    if (n->op == OP_HammingWindow)
        return alpha - cos(x) * (1 - alpha);
    return 0.42 - 0.5 * cos(x) + 0.08 * cos(2 * x);
}

bool eval_window(const Node *n, const Tensor *const *in, Tensor *const *out,
                 Arena *scratch, Diag *diag)
{
    int64_t size = elem_get_int(in[0]->type.dt, in[0]->data, 0);
    const Type *t = &out[0]->type;

    (void)scratch;
    (void)diag;
    if (size != t->dim[0])
        return node_error(n, "size is %lld, the declared shape has %lld",
                          (long long)size, (long long)t->dim[0]);
    for (int64_t i = 0; i < size; i++)
        elem_set(t->dt, out[0]->data, i, window_value(n, i, size));
    return true;
}

/* bins, dft_length, sample_rate: integers; lower and upper edge: floats */
static bool check_scalars(const Node *n)
{
    for (int i = 0; i < 5; i++) {
        DType dt = n->in[i]->type.dt;
        if (type_elems(&n->in[i]->type) != 1 ||
            (i < 3 ? !dtype_is_int(dt) : !dtype_is_float(dt)))
            return node_error(n, "operand %d '%s' must be one %s", i,
                              n->in[i]->name, i < 3 ? "integer" : "float");
    }
    return true;
}

bool infer_melweight(Graph *g, Node *n)
{
    DType dt = number_type(ATTRS(melweight, n)->output_datatype);
    int64_t bins = 0, len = 0, dim[2];
    Type *y = &n->out[0]->type;
    int count;

    (void)g;
    if (dt == DT_NONE)
        return node_error(n, "output_datatype %lld is not supported",
                          (long long)ATTRS(melweight, n)->output_datatype);
    if (!check_scalars(n))
        return false;
    if (!value_ints(n->in[0], 1, &bins, &count) ||
        !value_ints(n->in[1], 1, &len, &count)) {
        if (!infer_declared(n, n->in[0]))
            return false;
        return y->rank == 2 && y->dt == dt ? true
            : node_error(n, "output is declared with another type");
    }
    if (bins < 0 || bins > (1 << 20) || len < 0 || len > (1 << 24))
        return node_error(n, "%lld bands of %lld points", (long long)bins,
                          (long long)len);
    dim[0] = len / 2 + 1;
    dim[1] = bins;
    *y = type_make(dt, 2, dim);
    return true;
}

/* Rows of the matrix where band edges 0..bands+1 lie. */
static void mel_edges(double low, double high, int64_t bands, double len,
                      double rate, int64_t *edge)
{
    double mel_low = 2595 * log1p(low / 700) / log(10);
    double mel_high = 2595 * log1p(high / 700) / log(10);
    double step = (mel_high - mel_low) / (double)(bands + 2);

    for (int64_t i = 0; i < bands + 2; i++) {
        double mel = (double)i * step + mel_low;
        double hertz = 700 * expm1(mel / 2595 * log(10));
        double row = floor((len + 1) * hertz / rate);
        edge[i] = (int64_t)fmax(-1e9, fmin(1e9, row));
    }
}

static void put(Tensor *y, int64_t row, int64_t band, double v)
{
    const Type *t = &y->type;

    if (row >= 0 && row < t->dim[0])
        elem_set(t->dt, y->data, row * t->dim[1] + band, v);
}

/* a triangle from edge[0] up to edge[1] and down to edge[2] */
static void mel_band(Tensor *y, const int64_t *edge, int64_t band)
{
    int64_t up = edge[1] - edge[0], down = edge[2] - edge[1];
    int64_t rows = y->type.dim[0];

    if (up == 0)
        put(y, edge[1], band, 1);
    for (int64_t j = edge[0] > 0 ? edge[0] : 0;
         up && j <= edge[1] && j < rows; j++)
        put(y, j, band, (double)(j - edge[0]) / (double)up);
    for (int64_t j = edge[1] > 0 ? edge[1] : 0; j < edge[2] && j < rows; j++)
        put(y, j, band, (double)(edge[2] - j) / (double)down);
}

bool eval_melweight(const Node *n, const Tensor *const *in,
                    Tensor *const *out, Arena *scratch, Diag *diag)
{
    const Type *t = &out[0]->type;
    int64_t *edge = NEW_ARRAY(scratch, int64_t, t->dim[1] + 2);
    double v[5];

    (void)diag;
    for (int i = 0; i < 5; i++)
        v[i] = elem_get(in[i]->type.dt, in[i]->data, 0);
    if ((int64_t)v[0] != t->dim[1] || (int64_t)v[1] / 2 + 1 != t->dim[0] ||
        !(v[2] > 0))
        return node_error(n, "%g bands of %g points at %g Hz do not make the "
                          "declared shape", v[0], v[1], v[2]);
    mel_edges(v[3], v[4], t->dim[1], v[1], v[2], edge);
    for (int64_t i = 0; i < t->dim[1]; i++)
        mel_band(out[0], edge + i, i);
    return true;
}
