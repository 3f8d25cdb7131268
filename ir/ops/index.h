/* index.h - what the indexed ops (gather.c, scatter.c) share. */
#ifndef MCUFC_INDEX_H
#define MCUFC_INDEX_H

#include "../ir.h"

/* i in [-n, n) counts from the end when negative; clamped outside */
int64_t index_clamp(int64_t i, int64_t n);
bool check_index_type(const Node *n, const Value *indices);
bool check_index_range(const Node *n, const Value *indices, int64_t from,
                       int64_t step, int64_t dim);
bool check_whole_bytes(const Node *n, DType dt, int64_t elems);
bool check_elements(const Node *n, const Type *x, const Value *k,
                    int64_t attr_axis);
bool check_tuples(const Node *n, const Type *x, const Value *k, int first);
int64_t slice_bytes(DType dt, int64_t elems);
/* dims [a, b) of from behind t's; false when they are too many */
bool type_append(const Node *n, Type *t, const Type *from, int a, int b);
bool index_next(const Type *box, int64_t *pos);
int64_t elements_at(const Type *x, int axis, const int64_t *stride,
                    const int64_t *pos, int64_t k);
int64_t tuple_at(const Type *x, const int64_t *stride, const Tensor *k,
                 int64_t i, int first);

#endif
