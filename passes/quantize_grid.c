/* quantize_grid.c - scales and zero points, and the attributes that carry
 * them. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "../ir/ops/quant.h"
#include "quantize.h"

bool grid_of(const Node *n, Grid *g)
{
    const Value *s = n->in[1], *z = node_in(n, 2);

    if (!value_is_const(s) || type_elems(&s->type) != 1 ||
        ATTRS(quantize, n)->block_size ||
        (z && (!value_is_const(z) || type_elems(&z->type) != 1)))
        return false;
    g->scale = elem_get(s->type.dt, s->data, 0);
    g->zp = z ? elem_get_int(z->type.dt, z->data, 0) : 0;
    g->dt = n->op == OP_QuantizeLinear ? n->out[0]->type.dt
                                       : n->in[0]->type.dt;
    return true;
}

bool grid_equal(const Grid *a, const Grid *b)
{
    return a->scale == b->scale && a->zp == b->zp && a->dt == b->dt;
}

int64_t grid_lowest(const Grid *g)
{
    return dtype_lowest(g->dt);
}

int64_t grid_highest(const Grid *g)
{
    return dtype_highest(g->dt);
}

int64_t grid_code(const Grid *g, double x)
{
    return quant_round((float)x / (float)g->scale, g->zp, g->dt);
}

static bool is_code_type(DType dt)
{
    return dt == DT_I8 || dt == DT_U8 || dt == DT_I16 || dt == DT_U16;
}

bool grid_is_byte(const Grid *g)
{
    return g->dt == DT_I8 || g->dt == DT_U8;
}

Value *codes_of(const Value *v, Grid *g)
{
    const Node *n = maker(v, OP_DequantizeLinear);

    return n && is_code_type(n->in[0]->type.dt) && grid_of(n, g) ? n->in[0]
                                                                 : NULL;
}

Value *const_codes(Graph *g, const Value *v, Grid *grid)
{
    int64_t n = type_elems(&v->type);
    int16_t *p = NEW_ARRAY(g->arena, int16_t, n);
    double most = 0;
    Type t = v->type;

    for (int64_t i = 0; i < n; i++) {
        double x = fabs(elem_get(t.dt, v->data, i));
        if (!isfinite(x))
            return NULL;
        most = x > most ? x : most;
    }
    *grid = (Grid){ most > 0 ? (double)(float)(most / 32767) : 1, 0,
                    DT_I16 };
    for (int64_t i = 0; i < n; i++)
        p[i] = (int16_t)grid_code(grid, elem_get(t.dt, v->data, i));
    t.dt = DT_I16;
    return graph_const(g, v->name, t, p);
}

static void *attr_at(Node *n, const char *name, AttrKind kind)
{
    const AttrInfo *a = attr_find(op_info(n->op), name);

    assert(a && a->kind == kind);
    (void)kind;
    return (char *)n->attr + a->offset;
}

void set_int(Node *n, const char *name, int64_t x)
{
    *(attr_int *)attr_at(n, name, AK_int) = x;
}

void set_float(Node *n, const char *name, double x)
{
    *(attr_float *)attr_at(n, name, AK_float) = (float)x;
}

void set_ints(Graph *g, Node *n, const char *name, int count,
              const int64_t *v)
{
    attr_ints *a = attr_at(n, name, AK_ints);

    a->n = count;
    a->v = arena_memdup(g->arena, v, (size_t)count * sizeof *v);
}

void set_grid(Node *n, const char *name, const Grid *g)
{
    char key[32];

    snprintf(key, sizeof key, "%s_scale", name);
    set_float(n, key, g->scale);
    snprintf(key, sizeof key, "%s_zp", name);
    set_int(n, key, g->zp);
}

bool site_no(Site *s, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    s->why = arena_strdup(s->g->arena, text);
    return false;
}

void set_result(Node *n, const Site *s)
{
    set_grid(n, "y", &s->y);
    if (n->in[0]->type.dt != s->y.dt)
        set_int(n, "output_dtype", s->y.dt);
    if (s->lo > grid_lowest(&s->y))
        set_int(n, "lo", s->lo);
    if (s->hi < grid_highest(&s->y))
        set_int(n, "hi", s->hi);
}
