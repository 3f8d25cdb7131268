/* quantize.h - what the files of the pass `quantize` share.
 *
 * A grid says what an integer code stands for: (code - zp) * scale. A float
 * value that DequantizeLinear makes is codes on a grid; QuantizeLinear asks
 * for codes on another. Between the two the pass looks for arithmetic that
 * has an integer form.
 */
#ifndef MCUFC_QUANTIZE_H
#define MCUFC_QUANTIZE_H

#include "edit.h"

typedef struct Grid {
    double scale;
    int64_t zp;
    DType dt;                   /* of the codes */
} Grid;

/* Of a QuantizeLinear or DequantizeLinear with one constant scale. */
bool grid_of(const Node *n, Grid *g);
bool grid_equal(const Grid *a, const Grid *b);
bool grid_is_byte(const Grid *g);       /* codes of 8 bits */
int64_t grid_lowest(const Grid *g);
int64_t grid_highest(const Grid *g);
/* the code that QuantizeLinear gives x */
int64_t grid_code(const Grid *g, double x);
/* v is what DequantizeLinear makes of 8 or 16 bit codes: the codes, else
 * NULL. */
Value *codes_of(const Value *v, Grid *g);
/* A constant float tensor as int16 codes that use the whole range. */
Value *const_codes(Graph *g, const Value *v, Grid *grid);

/* Attributes by name; the op has them. */
void set_int(Node *n, const char *name, int64_t x);
void set_float(Node *n, const char *name, double x);
void set_ints(Graph *g, Node *n, const char *name, int count,
              const int64_t *v);
/* NAME_scale and NAME_zp */
void set_grid(Node *n, const char *name, const Grid *g);

/* One QuantizeLinear that may end an integer op. */
typedef struct Site {
    Graph *g;
    Node *q;
    Grid y;
    int64_t lo, hi;             /* clamp in codes of y: Relu and Clip */
    Value *v;                   /* the float result behind the clamps */
    const char *why;            /* there is no integer form, because... */
} Site;

/* false after setting s->why */
bool site_no(Site *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* y_scale, y_zp, lo, hi of n */
void set_result(Node *n, const Site *s);
/* n is put before s->q and inferred, its result is of the type of s->q's;
 * else false after s->why */
bool site_put(Site *s, Node *n);
/* n is put before s->q, inferred, and its result takes the place of s->q's,
 * reshaped where it is another view of the same elements. False: n does not
 * pass its own checks (s->why says so). */
bool site_end(Site *s, Node *n);
/* the same for an n that makes an image with channels last */
bool site_end_image(Site *s, Node *n);
/* infer n's types; false with the message as s->why */
bool site_infer(Site *s, Node *n);

/* quantize_layout.c. Images [N, C, H, W] and signals [N, C, W] as
 * [N, H, W, C], a signal as an image of one row. */
Value *to_channels_last(Graph *g, Node *at, Value *x);
/* back to the rank of the model; the node that makes it */
Node *from_channels_last(Graph *g, Node *at, Value *y, int rank);
Node *put_reshape(Graph *g, Node *at, Value *x, int rank,
                  const int64_t *dim);

/* Each turns the arithmetic that ends in s->q into integer ops; false after
 * s->why. */
typedef bool Convert(Site *s);
Convert convert_lookup;         /* quantize_map.c: any map of one tensor */
Convert convert_binary;         /* Add, Sub, Mul */
Convert convert_prelu;          /* slopes per channel */
Convert convert_product;        /* quantize_product.c: Conv, matrix products */
Convert convert_pool;           /* quantize_pool.c: averages, sums */
Convert convert_softmax;        /* quantize_norm.c */
Convert convert_layernorm;
Convert convert_attention;
/* Q(DQ(x)) between 8 and 16 bits */
Convert convert_requantize;

/* quantize_map.c: what v, floats, is for false and for true where maps make
 * it of one bool tensor and scalars; that tensor, or NULL. */
Value *map_of_bool(Graph *g, Value *v, double value[2]);
/* quantize_mask.c: attention masks of two values as codes or bools */
void quantize_masks(Graph *g);
/* quantize_cache.c: what Attention writes into caches of codes as Concat */
void quantize_caches(Graph *g);
/* bool, from the operand nonpad_kv_seqlen of n and its mask, if any; takes
 * the place of is_causal too. NULL after s->why. */
Value *mask_of_lengths(Site *s, Node *n, Value *lens, Value *mask);

/* quantize_move.c: what only moves elements: the operands that carry elements
 * of the result, as bits. */
unsigned moved_operands(const Node *n);
/* DequantizeLinear sinks below what only moves elements,
 * QuantizeLinear rises above it. */
bool quantize_moves(Graph *g);
/* quantize_expand.c: QLinearConv and QLinearMatMul of constant parameters
 * between Q and DQ. */
bool quantize_expand(Graph *g);
/* channels last everywhere: transposes sink and cancel */
void quantize_layout(Graph *g);
/* quantize_io.c: --io. The ends before conversion: Q and DQ where they
 * are missing; the boundary after it: those at the boundary go. */
void quantize_note_ends(Graph *g);
void quantize_ends(Graph *g, const PassOptions *opt);
void quantize_boundary(Graph *g, const PassOptions *opt);

/* quantize_weights.c: constant weights behind DequantizeLinear. */
typedef struct Weights {
    int64_t rows, cols;         /* one scale per row */
    int64_t groups;             /* 1, or scales per row along cols */
    int8_t *code;               /* [rows, cols], zero point subtracted */
    int16_t *wide;              /* the same where int8 does not hold them:
                                   weights_split() makes codes, else NULL */
    float *scale;               /* [rows * groups] */
    bool nibbles;               /* fit 4 bits and were 4 bits in the model */
} Weights;

/* v[rows, cols], or v[cols, rows] when by_cols; false after s->why */
bool weights_read(Site *s, const Value *v, bool by_cols, int64_t rows,
                  int64_t cols, Weights *w);
/* quantize_split.c: cols as the input channels of a group and taps. */
typedef struct Channels {
    int64_t group, channels, taps;
    int64_t wide;               /* channels of a group with those that are
                                   read again, at least `channels` */
    const int64_t *from;        /* [group * wide]: their number in the input,
                                   or NULL: the input as it is */
} Channels;
/* Codes and cols for weights that leave int8; false after s->why */
bool weights_split(Site *s, Weights *w, Channels *c);
/* x with the channels, its last axis, that `c` says */
Value *split_input(Site *s, Value *x, const Channels *c, const char *name);

/* The constant operands: codes of type t (elements in order) and scales. */
Value *weights_codes(Graph *g, const Weights *w, const char *name, Type t);
Value *weights_scales(Graph *g, const Weights *w, const char *name);
/* float bias per row -> int32 at xscale * scale of the row; a row of zeros
 * may get another scale so that it fits. NULL after s->why. */
Value *weights_bias(Site *s, Weights *w, double xscale, const double *bias,
                    const char *name);

#endif
