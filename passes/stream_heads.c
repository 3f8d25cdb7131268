/* stream_heads.c - attention head by head.
 *
 * Queries, keys and values of one head are products with some columns of the
 * weights. So the loop over heads computes keys and values of one head, row
 * by row, then each query's row, its scores and its context. The last head
 * is taken out of the loop: its context is not kept but joins the others'
 * and goes on, token by token, into what follows.
 */
#include "../ir/ops/attention.h"
#include "stream.h"

enum { TOKENS = 1, COLUMNS = 2 };       /* axes of [1, tokens, columns] */

static bool fits(Node *n, Attn *a)
{
    if ((n->op != OP_Attention && n->op != OP_QAttention) || n->region ||
        n->in[ATTN_Q]->type.rank != 3 || !attn_read(n, a) ||
        a->batch != 1 || a->q_len < 2 || a->kv_len < 2 || a->past ||
        !node_rows(n, TOKENS))
        return false;
    for (int i = ATTN_Q; i <= ATTN_V; i++)
        if (!only_use(n->in[i]) || !node_rows(n->in[i]->def, TOKENS) ||
            n->in[i]->def_index)
            return false;
    return a->kv_heads == 1 || parts_possible(n, COLUMNS, a->kv_heads);
}

/* The maker of operand k joins the loop over keys; in the loops outside it
 * goes along what n, which is in a loop next to it, reads of it. */
static void take_operand(Rows *r, Node *n, int k)
{
    Cut cut[REGION_DEPTH];
    Node *m = n->in[k]->def;

    node_cuts(n, k, cut);
    for (int d = 0; d < r->region->depth; d++)
        m->walk[d] = (signed char)cut[d].axis;
    rows_take(r, m, TOKENS);
}

/* Keys and values of n row by row, then its queries; all before `at`. */
static Rows form_loops(Graph *g, Node *n, Region *around, Node *at)
{
    int64_t keys = n->in[ATTN_K]->type.dim[TOKENS];
    int64_t queries = n->in[ATTN_Q]->type.dim[TOKENS];
    Region *kv = region_new(g, around, "keys", keys, 1);
    Region *q = region_new(g, around, "queries", queries, 1);
    Rows r;

    n->region = q;
    n->walk[0] = COLUMNS;       /* of the heads' loop, if there is one */
    n->walk[q->depth] = TOKENS;
    rows_init(&r, g, kv, at);
    take_operand(&r, n, ATTN_K);
    take_operand(&r, n, ATTN_V);
    rows_init(&r, g, q, at);
    rows_take(&r, n, TOKENS);
    return r;
}

/* The heads of [from, from + count) on their own. */
static Node *head_part(Graph *g, Node *n, const Attn *a, int64_t from,
                       int64_t count)
{
    Parts p;

    parts_init(&p, g, n, a->kv_heads, from, count);
    return parts_make(&p, n->out[0], COLUMNS)->def;
}

static void split_heads(Graph *g, Node *n, const Attn *a)
{
    Node *rest = head_part(g, n, a, 0, a->kv_heads - 1);
    Node *last = head_part(g, n, a, a->kv_heads - 1, 1), *all;
    Value *in[2] = { rest->out[0], last->out[0] };
    Rows r;

    all = insert_op(g, n, OP_Concat, n->name, 2, in, n->out[0]->type);
    ATTRS(concat, all)->axis = COLUMNS;
    value_replace(g, n->out[0], all->out[0]);
    form_loops(g, rest, region_new(g, NULL, "heads", a->kv_heads - 1, 1), n);
    r = form_loops(g, last, NULL, n);
    graph_number(g);
    rows_grow(&r, last);
    if (!all->region)
        node_move(all, n);
    graph_remove(g, n);
}

bool stream_heads(Graph *g, Node *n)
{
    Rows r;
    Attn a;

    if (!fits(n, &a))
        return false;
    if (a.kv_heads > 1) {
        split_heads(g, n, &a);
        return true;
    }
    r = form_loops(g, n, NULL, n->next);
    rows_grow(&r, n);
    return true;
}
