/* Classifies 16 CIFAR-10 images with a transformer whose layers were trained
 * as three factors. The image goes in as a camera gives it: bytes, row by
 * row, RGB. Exit: 0, or 1 when the model fails or is right on less than
 * half. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../matvit/images.h"
#include "mcuformer.h"

static mcuformer_arena arena;

static int best(const int8_t *logits)
{
    int k, guess = 0;

    for (k = 1; k < 10; k++)
        if (logits[k] > logits[guess])
            guess = k;
    return guess;
}

int main(void)
{
    clock_t start = clock();
    int i, right = 0;

    for (i = 0; i < DEMO_IMAGES; i++) {
        int guess;

        memcpy(mcuformer_input_image(&arena), demo_images[i],
               MCUFORMER_INPUT_IMAGE_BYTES);
        if (mcuformer_run(&arena)) {
            fprintf(stderr, "mcuformer_run failed\n");
            return 1;
        }
        guess = best(mcuformer_output_logits(&arena));
        right += guess == demo_labels[i];
        printf(" %-5s%c", class_names[guess],
               guess == demo_labels[i] ? ' ' : '!');
    }
    printf("\n%d of %d right, %.2f ms an image on this machine\n", right,
           DEMO_IMAGES, 1000.0 * (double)(clock() - start) /
           CLOCKS_PER_SEC / DEMO_IMAGES);
    printf("arena %lu bytes, constants %lu bytes\n",
           (unsigned long)MCUFORMER_ARENA_BYTES,
           (unsigned long)MCUFORMER_WEIGHTS_BYTES);
    return right * 2 < DEMO_IMAGES;
}
