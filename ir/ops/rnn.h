/* rnn.h - what RNN, GRU and LSTM nodes say, read once for inference, the
 * interpreter and the emitter. */
#ifndef MCUFC_OPS_RNN_H
#define MCUFC_OPS_RNN_H

#include "../ir.h"

typedef enum RnnActKind {
    RA_Relu, RA_Tanh, RA_Sigmoid, RA_Affine, RA_LeakyRelu,
    RA_ThresholdedRelu, RA_ScaledTanh, RA_HardSigmoid, RA_Elu, RA_Softsign,
    RA_Softplus, RA_COUNT
} RnnActKind;

typedef struct RnnAct {
    RnnActKind kind;
    float alpha, beta;
} RnnAct;

/* Offsets count elements. x at step t of batch b: t * x_t + b * x_b; y of
 * direction d: t * y_t + d * y_d + b * y_b; states (initial and final):
 * d * h_d + b * h_b. */
typedef struct Rnn {
    int gates;                  /* 1 RNN, 3 GRU (zrh), 4 LSTM (iofc) */
    int dirs;
    bool reverse[2];
    int64_t seq, batch, input, hidden;
    int64_t x_t, x_b, y_t, y_d, y_b, h_d, h_b;
    int nact;                   /* per direction */
    RnnAct act[2][3];
    float clip;                 /* 0: none */
} Rnn;

/* operands common to the three: X W R B sequence_lens initial_h */
enum { RNN_X, RNN_W, RNN_R, RNN_B, RNN_LENS, RNN_H0, RNN_C0, RNN_P };

/* false after a message */
bool rnn_read(const Node *n, Rnn *r);

#endif
