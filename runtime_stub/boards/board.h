/* board.h - what a program that runs a model needs, on the host and on the
 * boards: inputs from in.bin, outputs to out.bin, a mark before and after
 * each run of the model. */
#ifndef BOARD_H
#define BOARD_H

int board_read(void *p, unsigned n);    /* next bytes of in.bin; 0: all came */
void board_write(const void *p, unsigned n);
void board_begin(void);         /* of what is measured: paints the stack */
void board_end(void);

const void *board_weights(void);        /* w.bin, aligned to 16; or NULL */

int model_main(void);           /* runs all samples; 0, or what went wrong */

#endif
