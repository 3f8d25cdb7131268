/* One compiled model, many speeds: classifies 16 CIFAR-10 images at every
 * width that the file has, then at two mixtures, and says what each costs.
 * The image goes in as a camera gives it: bytes, row by row, RGB.
 * Exit: 0, or 1 when the model fails or is right on less than half. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "images.h"
#include "matvit.h"

static matvit_arena arena;

static const long macs[MATVIT_WIDTH_LEVELS] = MATVIT_WIDTH_MACS;

/* Per layer: level 0 is the narrowest. */
static const uint8_t widths[][MATVIT_WIDTH_LAYERS] = {
    { 0, 0, 0, 0 }, { 1, 1, 1, 1 }, { 2, 2, 2, 2 }, { 3, 3, 3, 3 },
    { 0, 0, 1, 1 }, { 2, 2, 3, 3 },
};

static int best(const int8_t *logits)
{
    int k, guess = 0;

    for (k = 1; k < 10; k++)
        if (logits[k] > logits[guess])
            guess = k;
    return guess;
}

/* Layers are alike: each has its part of what a level costs. */
static long cost(const uint8_t *level)
{
    long sum = macs[0];
    int i;

    for (i = 0; i < MATVIT_WIDTH_LAYERS; i++)
        sum += (macs[level[i]] - macs[0]) / MATVIT_WIDTH_LAYERS;
    return sum;
}

/* How many images it gets right at these widths; -1: it failed. */
static int classify_all(const uint8_t *level)
{
    int i, right = 0;

    if (matvit_set_widths(&arena, level))
        return -1;
    for (i = 0; i < DEMO_IMAGES; i++) {
        int guess;

        memcpy(matvit_input_image(&arena), demo_images[i],
               MATVIT_INPUT_IMAGE_BYTES);
        if (matvit_run(&arena))
            return -1;
        guess = best(matvit_output_logits(&arena));
        right += guess == demo_labels[i];
        printf(" %-5s%c", class_names[guess],
               guess == demo_labels[i] ? ' ' : '!');
    }
    return right;
}

int main(void)
{
    size_t k;
    int worst = DEMO_IMAGES;

    matvit_reset(&arena);
    for (k = 0; k < sizeof widths / sizeof *widths; k++) {
        clock_t start = clock();
        int i, right = classify_all(widths[k]);
        double ms = 1000.0 * (double)(clock() - start) / CLOCKS_PER_SEC;

        if (right < 0) {
            fprintf(stderr, "matvit_run failed\n");
            return 1;
        }
        printf("\nlevels");
        for (i = 0; i < MATVIT_WIDTH_LAYERS; i++)
            printf(" %d", widths[k][i]);
        printf(": %2d of %d right, %5.2f M multiply-accumulates, %.2f ms an "
               "image\n", right, DEMO_IMAGES, (double)cost(widths[k]) / 1e6,
               ms / DEMO_IMAGES);
        worst = right < worst ? right : worst;
    }
    printf("arena %lu bytes, constants %lu bytes, for all of them\n",
           (unsigned long)MATVIT_ARENA_BYTES,
           (unsigned long)MATVIT_WEIGHTS_BYTES);
    return worst * 2 < DEMO_IMAGES;
}
