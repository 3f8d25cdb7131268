/* quantize_product.c - convolutions and matrix products between Q and DQ
 * become QConv (channels last) and QMatMul. What is added per channel, and
 * the clamps that quantize.c took off, go with them.
 */
#include <math.h>
#include <string.h>

#include "quantize_product.h"

/* A constant that varies along `axis` of y alone, added to `sum`. */
static bool add_channels(const Value *c, const Type *y, int axis, double sign,
                         double *sum)
{
    int off = y->rank - c->type.rank;
    int64_t n = y->dim[axis], count = type_elems(&c->type);

    if (off < 0)
        return false;
    for (int i = 0; i < c->type.rank; i++)
        if (c->type.dim[i] != 1 &&
            (i + off != axis || c->type.dim[i] != n))
            return false;
    for (int64_t i = 0; i < n; i++)
        sum[i] += sign * elem_get(c->type.dt, c->data, count == 1 ? 0 : i);
    return true;
}

/* v = product + constants per channel: the product; sums go to bias. */
static Node *behind_biases(const Site *s, int axis, double *bias)
{
    Value *v = s->v;

    for (;;) {
        Node *n = v->def, *add;
        int k;
        if (!n || (n->op != OP_Add && n->op != OP_Sub))
            return n;
        add = n;
        k = value_is_const(add->in[0]) ? 1 : 0;
        if (!value_is_const(add->in[1 - k]) || (n->op == OP_Sub && k) ||
            !add->in[k]->def || !only_use(add->in[k]) ||
            !type_same_shape(&add->in[k]->type, &v->type) ||
            !add_channels(add->in[1 - k], &v->type, axis,
                          n->op == OP_Sub ? -1 : 1, bias))
            return n;
        v = add->in[k];
    }
}

/* The activation in an epilogue as a clamp of the codes. */
static bool clamp_act(Site *s, const char *act, double alpha, double beta)
{
    if (!*act)
        return true;
    if (!strcmp(act, "Relu"))
        alpha = 0, beta = INFINITY;
    else if (strcmp(act, "Clip"))
        return site_no(s, "there is no quantization between it and %s", act);
    if (alpha > -INFINITY && grid_code(&s->y, alpha) > s->lo)
        s->lo = grid_code(&s->y, alpha);
    if (beta < INFINITY && grid_code(&s->y, beta) < s->hi)
        s->hi = grid_code(&s->y, beta);
    return s->lo <= s->hi ||
           site_no(s, "its activation leaves no code of the result");
}

bool const_bias(Site *s, const Value *b, int64_t n, double *bias)
{
    int64_t count;

    if (!b)
        return true;
    count = type_elems(&b->type);
    if (!value_is_const(b) || (count != 1 && count != n) ||
        (count == n && b->type.rank > 0 && n > 1 &&
         b->type.dim[b->type.rank - 1] != n))
        return site_no(s, "its bias '%s' is not one constant per channel",
                       b->name);
    for (int64_t i = 0; i < n; i++)
        bias[i] += elem_get(b->type.dt, b->data, count == 1 ? 0 : i);
    return true;
}

static bool is_zero(const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0)
            return false;
    return true;
}

/* Kernels take the middle of a 16-bit type as its zero point, so that x less
 * it is int16. What the model's zero point differs by goes into the bias. */
static bool centre(Site *s, Grid *x, const Weights *w, double *bias)
{
    int64_t middle = x->dt == DT_U16 ? 32768 : 0;

    if (grid_is_byte(x) || x->zp == middle)
        return true;
    if (w->groups > 1)
        return site_no(s, "its input has 16 bits and a zero point, and its "
                       "weights have several scales per channel");
    for (int64_t i = 0; i < w->rows; i++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < w->cols; k++)
            sum += w->code[i * w->cols + k];
        bias[i] += (double)((middle - x->zp) * sum) * x->scale *
                   (double)w->scale[i];
    }
    x->zp = middle;
    return true;
}

/* Convolution. A signal of one axis is an image of one row. */

/* [M, C, kernel...] -> [M, kernel..., C] */
static void channels_last(Graph *g, Weights *w, int64_t channels)
{
    int64_t taps = w->cols / channels;
    int8_t *p = NEW_ARRAY(g->arena, int8_t, w->rows * w->cols);

    for (int64_t r = 0; r < w->rows; r++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t k = 0; k < taps; k++)
                p[(r * taps + k) * channels + c] =
                    w->code[(r * channels + c) * taps + k];
    w->code = p;
}

static void set_window(Graph *g, Node *n, const Window *w)
{
    int64_t kernel[2] = { 1, 1 }, stride[2] = { 1, 1 }, step[2] = { 1, 1 };
    int64_t pad[4] = { 0 };

    for (int i = 0, k = 2 - w->rank; i < w->rank; i++, k++) {
        kernel[k] = w->kernel[i];
        stride[k] = w->stride[i];
        step[k] = w->dilation[i];
        pad[k] = w->pad[i];
        pad[k + 2] = w->pad_end[i];
    }
    set_ints(g, n, "kernel_shape", 2, kernel);
    set_ints(g, n, "strides", 2, stride);
    set_ints(g, n, "dilations", 2, step);
    set_ints(g, n, "pads", 4, pad);
}

/* Padding is the zero point: where centre() moves that, it must be written
 * out. x is channels last. */
static Value *pad_codes(Site *s, ConvSite *c, Value *x)
{
    int64_t middle = c->xg.dt == DT_U16 ? 32768 : 0, pads[8] = { 0 };
    Window *w = &c->shape.win;
    Value *in[3] = { x };
    bool any = false;
    Type t = x->type;

    for (int i = 0, k = 3 - w->rank; i < w->rank; i++, k++) {
        any = any || w->pad[i] || w->pad_end[i];
        pads[k] = w->pad[i];
        pads[k + 4] = w->pad_end[i];
        t.dim[k] += w->pad[i] + w->pad_end[i];
    }
    if (grid_is_byte(&c->xg) || c->xg.zp == middle || !any)
        return x;
    for (int i = 0; i < w->rank; i++)
        w->pad[i] = w->pad_end[i] = 0;
    in[1] = graph_const_ints(s->g, "pads", 8, pads);
    in[2] = graph_const_scalar(s->g, "pad", c->xg.dt, (double)c->xg.zp);
    return insert_op(s->g, s->q, OP_Pad, c->conv->name, 3, in, t)->out[0];
}

Node *conv_of_codes(Site *s, ConvSite *c, Weights *w)
{
    const Window *win = &c->shape.win;
    Graph *g = s->g;
    const char *name = c->conv->name;
    Value *in[4], *bias = NULL;
    Type t = { DT_I8, 4, { w->rows, 1, 0, 0 } };
    Node *n;

    c->channels = (Channels){ .group = c->shape.group,
                              .channels = c->shape.cg,
                              .taps = window_elems(win) };
    if (!weights_split(s, w, &c->channels))
        return NULL;
    channels_last(g, w, c->channels.wide);
    t.dim[3] = c->channels.wide;
    in[0] = split_input(s, to_channels_last(g, s->q, c->x), &c->channels,
                        name);
    in[0] = pad_codes(s, c, in[0]);
    if (!centre(s, &c->xg, w, c->bias))
        return NULL;
    if (!is_zero(c->bias, w->rows) &&
        !(bias = weights_bias(s, w, c->xg.scale, c->bias, "bias")))
        return NULL;
    for (int i = 0, k = 2 - win->rank; i < win->rank; i++, k++)
        t.dim[1 + k] = win->kernel[i];
    in[1] = weights_codes(g, w, c->conv->in[1]->name, t);
    in[2] = weights_scales(g, w, "w_scale");
    in[3] = bias;
    n = node_new(g, OP_QConv, name, bias ? 4 : 3, in, 1);
    set_window(g, n, win);
    set_int(n, "group", c->shape.group);
    set_grid(n, "x", &c->xg);
    set_result(n, s);
    return n;
}

static bool convert_conv(Site *s, Node *conv, double *bias)
{
    ConvSite c = { .conv = conv, .bias = bias };
    int64_t rows = conv->in[1]->type.dim[0];
    Weights w;
    Node *n;

    c.x = codes_of(conv->in[0], &c.xg);
    if (!c.x)
        return site_no(s, "its input '%s' is not quantized",
                       conv->in[0]->name);
    if (!conv_shape(conv, &conv->in[0]->type, &conv->in[1]->type, &c.shape))
        return false;
    if (c.shape.win.rank > 2)
        return site_no(s, "it has %d spatial axes, integer convolutions have"
                       " at most 2", c.shape.win.rank);
    if (!clamp_act(s, ATTRS(conv, conv)->act,
                   (double)ATTRS(conv, conv)->act_alpha,
                   (double)ATTRS(conv, conv)->act_beta) ||
        !const_bias(s, node_in(conv, 2), rows, bias) ||
        !weights_read(s, conv->in[1], false, rows,
                      type_elems(&conv->in[1]->type) / (rows ? rows : 1), &w))
        return false;
    if (w.groups != 1)
        return site_no(s, "its weights have several scales per channel");
    n = conv_of_codes(s, &c, &w);
    return n && site_end_image(s, n);
}

/* Matrix products: A B with A [.., M, K]; B [K, N], or [N, K] (trans). */

typedef struct Gemm {
    Node *node;
    Value *a, *b, *bias;
    bool trans_a, trans_b;
    double alpha, beta;
    const char *act;
    double act_alpha, act_beta;
} Gemm;

static bool gemm_of(Node *n, Gemm *m)
{
    *m = (Gemm){ n, n->in[0], n->in[1], node_in(n, 2), false, false, 1, 1,
                 "", 0, 0 };
    if (n->op == OP_MatMul)
        return true;
    if (n->op == OP_Gemm) {
        const Attr_gemm *a = ATTRS(gemm, n);
        m->trans_a = a->transA;
        m->trans_b = a->transB;
        m->alpha = (double)a->alpha;
        m->beta = (double)a->beta;
        m->act = a->act;
        m->act_alpha = (double)a->act_alpha;
        m->act_beta = (double)a->act_beta;
        return true;
    }
    if (n->op == OP_FusedMatMul) {
        const Attr_fusedmatmul *a = ATTRS(fusedmatmul, n);
        m->trans_a = a->transA;
        m->trans_b = a->transB;
        m->alpha = (double)a->alpha;
        m->act = a->act;
        m->act_alpha = (double)a->act_alpha;
        m->act_beta = (double)a->act_beta;
        return true;
    }
    return false;
}

/* Constant B of rank 2 (leading ones aside). */
static bool is_matrix(const Type *t)
{
    return t->rank >= 2 && type_span(t, 0, t->rank - 2) == 1;
}

static bool end_gemm(Site *s, const Gemm *m, Value *a, const Grid *ag,
                     Value *b, Value *scale, Value *bias, int64_t b_zp)
{
    Value *in[4] = { a, b, scale, bias };
    Node *n = node_new(s->g, OP_QMatMul, m->node->name, bias ? 4 : 3, in, 1);

    set_grid(n, "a", ag);
    set_int(n, "b_zp", b_zp);
    set_int(n, "transB", value_is_const(b) || m->trans_b);
    set_result(n, s);
    return site_end(s, n);
}

static bool scaled(Site *s, const Gemm *m, Grid *x, Weights *w,
                   double *bias, Value **out)
{
    *out = NULL;
    for (int64_t i = 0; i < w->rows * w->groups; i++)
        w->scale[i] = (float)((double)w->scale[i] * m->alpha);
    if (!centre(s, x, w, bias))
        return false;
    if (is_zero(bias, w->rows))
        return true;
    *out = weights_bias(s, w, x->scale, bias, "bias");
    return *out != NULL;
}

static bool by_constant(Site *s, const Gemm *m, Value *a, Grid *ag,
                        double *bias)
{
    const Type *t = &m->b->type;
    int64_t k = t->dim[t->rank - (m->trans_b ? 1 : 2)];
    int64_t n = t->dim[t->rank - (m->trans_b ? 2 : 1)];
    Channels c = { .group = 1, .channels = k, .taps = 1 };
    Type wt = { DT_I8, 2, { n, k } };
    Value *b, *codes, *scales;
    Weights w;

    if (!is_matrix(t))
        return site_no(s, "its weights are several matrices");
    if (!weights_read(s, m->b, !m->trans_b, n, k, &w) ||
        !weights_split(s, &w, &c) || !scaled(s, m, ag, &w, bias, &b))
        return false;
    scales = weights_scales(s->g, &w, "b_scale");
    wt.dim[1] = w.cols;
    codes = weights_codes(s->g, &w, m->b->name, wt);
    a = split_input(s, a, &c, m->node->name);
    return end_gemm(s, m, a, ag, codes, scales, b, 0);
}

static bool by_value(Site *s, const Gemm *m, Value *a, const Grid *ag,
                     const double *bias, int64_t cols)
{
    Grid bg;
    Value *b = codes_of(m->b, &bg);
    float *scale = NEW_ARRAY(s->g->arena, float, 1);

    if (!b)
        return site_no(s, "its input '%s' is not quantized", m->b->name);
    if (!grid_is_byte(ag) || !grid_is_byte(&bg))
        return site_no(s, "it multiplies two results, and '%s' has 16 bits",
                       grid_is_byte(ag) ? m->b->name : m->a->name);
    if (!is_zero(bias, cols))
        return site_no(s, "both operands are computed, and it has a bias");
    *scale = (float)(bg.scale * m->alpha);
    return end_gemm(s, m, a, ag, b,
                    graph_const(s->g, "b_scale", type_vector(DT_F32, 1),
                                scale), NULL, bg.zp);
}

static bool convert_gemm(Site *s, const Gemm *m, double *bias)
{
    const Type *y = &m->node->out[0]->type;
    int64_t cols = y->rank ? y->dim[y->rank - 1] : 1;
    const Node *dq = maker(m->b, OP_DequantizeLinear);
    Grid ag;
    Value *a = codes_of(m->a, &ag);

    if (!a)
        return site_no(s, "its input '%s' is not quantized", m->a->name);
    if (m->trans_a || m->a->type.rank < 2 || m->b->type.rank < 2)
        return site_no(s, "its left operand is transposed or a vector");
    if (!(m->alpha > 0))
        return site_no(s, "its factor is %g", m->alpha);
    if (!clamp_act(s, m->act, m->act_alpha, m->act_beta))
        return false;
    if (m->bias && m->beta != 0) {
        double *c = NEW_ARRAY(s->g->scratch, double, cols);
        if (!const_bias(s, m->bias, cols, c))
            return false;
        for (int64_t i = 0; i < cols; i++)
            bias[i] += m->beta * c[i];
    }
    return dq && value_is_const(dq->in[0])
               ? by_constant(s, m, a, &ag, bias)
               : by_value(s, m, a, &ag, bias, cols);
}

bool convert_product(Site *s)
{
    const Type *y = &s->v->type;
    bool conv = y->rank >= 3;
    int64_t most = 1;
    double *bias;
    Node *n;
    Gemm m;

    for (int i = 0; i < y->rank; i++)
        most = y->dim[i] > most ? y->dim[i] : most;
    bias = NEW_ARRAY(s->g->scratch, double, most);
    n = conv ? behind_biases(s, 1, bias) : NULL;
    if (n && n->op == OP_Conv)
        return convert_conv(s, n, bias);
    if (n && n->op == OP_ConvTranspose)
        return convert_deconv(s, n, bias);
    memset(bias, 0, (size_t)most * sizeof *bias);
    n = y->rank ? behind_biases(s, y->rank - 1, bias) : NULL;
    if (n && gemm_of(n, &m))
        return convert_gemm(s, &m, bias);
    return false;
}
