/* quantize.c - quantized models in integers.
 *
 * A quantized model comes as DequantizeLinear, float arithmetic,
 * QuantizeLinear. This pass finds the arithmetic between the two and puts
 * integer ops (QConv, QMatMul, QAdd, QLookup...) in its place; their
 * arithmetic, pinned in ir/requant.h, is the model's from here on. What has
 * no integer form stays float, an island, and keeps the reason for the
 * report.
 *
 * It runs first, before the constant weights could be folded to floats, and
 * always; a model without quantization is left as it is.
 */
#include <math.h>
#include <string.h>

#include "quantize.h"

static bool has_quantization(const Graph *g)
{
    for EACH_NODE(n, g)
        if (n->op == OP_QuantizeLinear || n->op == OP_QLinearConv ||
            n->op == OP_QLinearMatMul)
            return true;
    return false;
}

/* Sites. */

/* The message without the node that it is about. */
static const char *reason_of(Arena *arena, const char *text)
{
    const char *p = strstr(text, "): ");

    return arena_strdup(arena, p ? p + 3 : text);
}

bool site_infer(Site *s, Node *n)
{
    Graph *g = s->g;
    char text[1024] = "";
    Diag capture = { .file = "", .caught = text, .caught_n = sizeof text };
    Diag *diag = g->diag;
    bool ok;

    g->diag = &capture;
    ok = node_infer(g, n);
    g->diag = diag;
    if (!ok && !s->why)
        s->why = reason_of(g->arena, text);
    return ok;
}

static bool same_type(Site *s, const Node *n)
{
    return n->out[0]->type.dt == s->q->out[0]->type.dt ||
           site_no(s, "there is no integer form with a result of %s",
                   dtype_name(s->q->out[0]->type.dt));
}

bool site_put(Site *s, Node *n)
{
    graph_insert(s->g, s->q, n);
    return site_infer(s, n) && same_type(s, n);
}

bool site_end(Site *s, Node *n)
{
    const Type *y = &s->q->out[0]->type;

    if (!site_put(s, n))
        return false;
    if (!type_same_shape(&n->out[0]->type, y))
        n = put_reshape(s->g, s->q, n->out[0], y->rank, y->dim)->out[0]->def;
    take_result(s->g, n, s->q);
    return true;
}

bool site_end_image(Site *s, Node *n)
{
    if (!site_put(s, n))
        return false;
    n = from_channels_last(s->g, s->q, n->out[0],
                           s->q->out[0]->type.rank);
    take_result(s->g, n, s->q);
    return true;
}

/* Relu and Clip behind the arithmetic clamp the codes: QuantizeLinear is
 * monotonous. */
static bool peel_clamp(Site *s)
{
    Node *n = s->v->def;
    double lo = -INFINITY, hi = INFINITY;
    int64_t code;

    if (!n || !n->nin || !only_use(s->v))
        return false;
    if (n->op == OP_Relu)
        lo = 0;
    else if (n->op != OP_Clip || (node_in(n, 1) &&
             !const_splat(n->in[1], &lo)) ||
             (node_in(n, 2) && !const_splat(n->in[2], &hi)))
        return false;
    if (lo > -INFINITY && (code = grid_code(&s->y, lo)) > s->lo)
        s->lo = code;
    if (hi < INFINITY && (code = grid_code(&s->y, hi)) < s->hi)
        s->hi = code;
    s->v = n->in[0];
    return s->lo <= s->hi;
}

static const Node *other_reader(const Value *v, const Node *q)
{
    for (int i = 0; i < v->nuse; i++)
        if (v->use[i] != q)
            return v->use[i];
    return NULL;
}

static Convert *const converts[] = {
    convert_product, convert_binary, convert_prelu, convert_pool,
    convert_softmax, convert_layernorm, convert_attention,
    convert_requantize,
};

static bool convert(Site *s)
{
    const Node *other;

    if (convert_lookup(s))
        return true;
    while (peel_clamp(s))
        ;
    if (!s->v->def)
        return false;
    other = other_reader(s->v, s->q);
    if (other && s->v->def->op != OP_DequantizeLinear && s->v->nuse > 1 &&
        s->v == s->q->in[0])
        return site_no(s, "'%s' (%s) reads its float result too",
                       other->name, op_name(other->op));
    if (s->v->is_output)
        return site_no(s, "its float result is an output of the model");
    for (size_t i = 0; i < sizeof converts / sizeof converts[0] && !s->why;
         i++)
        if (converts[i](s))
            return true;
    return false;
}

static void convert_node(Graph *g, Node *q)
{
    Site s = { .g = g, .q = q, .v = q->in[0] };

    if (!grid_of(q, &s.y)) {
        if (s.v->def)
            s.v->def->island = "its result is quantized with several scales";
        return;
    }
    s.lo = grid_lowest(&s.y);
    s.hi = grid_highest(&s.y);
    if (!convert(&s) && s.why && s.v->def)
        s.v->def->island = s.why;
}

/* One QuantizeLinear per value and grid. */
static bool merge_quantizers(Graph *g)
{
    bool any = false;

    graph_number(g);
    for EACH_NODE(n, g) {
        Value *v = n->op == OP_QuantizeLinear ? n->in[0] : NULL;
        Grid a, b;
        if (!v || v->nuse < 2 || !grid_of(n, &a))
            continue;
        for (int i = 0; i < v->nuse; i++) {
            Node *r = v->use[i];
            if (r == n || r->op != OP_QuantizeLinear || !grid_of(r, &b) ||
                !grid_equal(&a, &b) || r->out[0]->is_output ||
                r->index < n->index || !r->out[0]->nuse)
                continue;
            value_replace(g, r->out[0], n->out[0]);
            any = true;
        }
    }
    return any;
}

/* QLookup(QLookup(x)), the inner one for the outer alone: one table. */
static bool merge_tables(Graph *g, Node *n)
{
    Node *in = n->op == OP_QLookup ? maker(n->in[0], OP_QLookup) : NULL;
    const Value *inner, *outer;
    Type t;
    void *p;

    if (!in || !only_use(n->in[0]))
        return false;
    inner = in->in[1];
    outer = n->in[1];
    if (dtype_bits(inner->type.dt) != 8 || !value_is_const(inner) ||
        !value_is_const(outer))
        return false;
    t = outer->type;
    p = arena_alloc(g->arena, (size_t)type_bytes(&t));
    for (int i = 0; i < 256; i++)
        elem_set_int(t.dt, p, i, elem_get_int(t.dt, outer->data,
                     ((const uint8_t *)inner->data)[i]));
    node_set_input(n, 0, in->in[0]);
    node_set_input(n, 1, graph_const(g, "table", t, p));
    return true;
}

/* Moves of constant codes, QuantizeLinear of constants. */
static bool fold_codes(Graph *g)
{
    for EACH_NODE_SAFE(n, g) {
        bool constant = n->op != OP_DequantizeLinear && n->nin > 0 &&
                        !op_has(n->op, T_RANDOM);
        for (int i = 0; i < n->nin; i++)
            if (n->in[i] && !value_is_const(n->in[i]))
                constant = false;
        for (int i = 0; i < n->nout; i++)
            if (n->out[i] && (n->out[i]->is_output ||
                              type_bytes(&n->out[i]->type) > 1 << 20))
                constant = false;
        if (!constant || !node_fold_affordable(g, n))
            continue;
        if (!node_fold(g, n))
            return false;
        graph_remove(g, n);
    }
    return true;
}

/* Conversion looks for whole functions: what exporters spell out is put
 * together first, whatever --skip says. */
static bool put_together(Graph *g)
{
    static PassFn *const fuse[] = {
        pass_cse, pass_canon, pass_fuse_norm, pass_fuse_gelu,
        pass_fuse_matmul, pass_fuse_attention, pass_fold_affine,
        pass_fuse_act,
    };
    const PassOptions none = { .bisect = -1 };
    bool skip = false;

    for (size_t i = 0; i < sizeof fuse / sizeof fuse[0]; i++) {
        if (!fuse[i](g, &none, &skip))
            return false;
        graph_tidy(g);
    }
    return true;
}

static bool is_boundary(const Node *n)
{
    return n->op == OP_QuantizeLinear || n->op == OP_DequantizeLinear;
}

/* Every step that is left in floats says why. */
static void name_islands(Graph *g)
{
    for EACH_NODE(n, g) {
        const Value *y = node_out(n, 0);
        if (!y || !dtype_is_float(y->type.dt) || n->island || is_boundary(n) ||
            op_has(n->op, T_VIEW | T_MOVE))
            continue;
        n->island = y->nuse && y->use[0]->op == OP_QuantizeLinear
                        ? "there is no integer form of this op"
                        : "its result is not quantized";
    }
}

static bool convert_all(Graph *g, const PassOptions *opt)
{
    const PassOptions none = { .bisect = -1 };
    bool skip = false;

    quantize_masks(g);
    for (int i = 0; i < 16 && quantize_moves(g); i++)
        merge_quantizers(g);
    quantize_caches(g);
    quantize_ends(g, opt);
    for (int i = 0; i < 16 && quantize_moves(g); i++)
        merge_quantizers(g);
    merge_quantizers(g);
    if (!pass_dce(g, &none, &skip) || !fold_codes(g))
        return false;
    for EACH_NODE_SAFE(n, g)
        if (n->op == OP_QuantizeLinear)
            convert_node(g, n);
    if (!pass_dce(g, &none, &skip))
        return false;
    quantize_boundary(g, opt);
    quantize_layout(g);
    if (!fold_codes(g))
        return false;
    for EACH_NODE(n, g)
        merge_tables(g, n);
    return pass_dce(g, &none, &skip);
}

bool pass_quantize(Graph *g, const PassOptions *opt, bool *changed)
{
    if (!has_quantization(g))
        return true;
    *changed = true;
    if (!quantize_expand(g))
        return false;
    quantize_note_ends(g);
    if (!put_together(g) || !convert_all(g, opt))
        return false;
    name_islands(g);
    return true;
}
