/* Classifies 64 handwritten digits with the compiled model and shows them.
 * The first eight are drawn, then every one that the model gets wrong. Built
 * with -DWITH_FLOAT it also runs the float model and compares the two.
 *
 *   demo [--ascii] [--all]
 *
 * Half blocks put two pixels into a character cell; without a UTF-8 locale,
 * or with --ascii, a ramp of characters stands for their mean brightness.
 * Exit: 0, or 1 when the model fails or is right on less than 9 of 10. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "images.h"
#include "vit_mnist.h"
#ifdef WITH_FLOAT
#include "vit_float.h"
#endif

enum { SIDE = 28, CLASSES = 10, GAP = 2, DRAWN_FIRST = 8, MAX_PER_ROW = 8 };

typedef struct Result {
    int guess;
    float probability;
} Result;

typedef struct Style {
    int ascii;
    int per_row;
} Style;

static vit_mnist_arena arena;

/* Logits -> the best class and its softmax probability. */
static Result best_class(const float *logits)
{
    Result r = {0, 0.0f};
    float sum = 0.0f;
    for (int c = 1; c < CLASSES; c++)
        if (logits[c] > logits[r.guess])
            r.guess = c;
    for (int c = 0; c < CLASSES; c++)
        sum += expf(logits[c] - logits[r.guess]);
    r.probability = 1.0f / sum;
    return r;
}

/* What 0..255 become at the input: the model takes pixel / 255, quantized.
 * On a microcontroller this is `pixel - 128`, as the header's scale is 1/255
 * and its zero point -128. */
static signed char code_of(int pixel)
{
    double code = floor(pixel / 255.0 / (double)VIT_MNIST_INPUT_IMAGE_SCALE +
                        0.5) + VIT_MNIST_INPUT_IMAGE_ZERO_POINT;
    return (signed char)(code < -128 ? -128 : code > 127 ? 127 : code);
}

/* Runs the model on one image; returns what the model returns. */
static int classify(const unsigned char *pixels, Result *result)
{
    int8_t *input = vit_mnist_input_image(&arena);
    float logits[CLASSES];
    for (int i = 0; i < SIDE * SIDE; i++)
        input[i] = code_of(pixels[i]);
    int status = vit_mnist_run(&arena);
    if (status != 0)
        return status;
    const int8_t *output = vit_mnist_output_logits(&arena);
    for (int i = 0; i < CLASSES; i++)
        logits[i] = (float)(output[i] - VIT_MNIST_OUTPUT_LOGITS_ZERO_POINT) *
                    VIT_MNIST_OUTPUT_LOGITS_SCALE;
    *result = best_class(logits);
    return 0;
}

#ifdef WITH_FLOAT
static vit_float_arena float_arena;

static int classify_float(const unsigned char *pixels, Result *result)
{
    float *input = vit_float_input_image(&float_arena);
    for (int i = 0; i < SIDE * SIDE; i++)
        input[i] = (float)pixels[i] / 255.0f;
    int status = vit_float_run(&float_arena);
    if (status == 0)
        *result = best_class(vit_float_output_logits(&float_arena));
    return status;
}

/* Both models on every image: do they agree, and what do they need? */
static int compare(const Result *results)
{
    int same = 0, right = 0;
    for (int i = 0; i < DEMO_IMAGES; i++) {
        Result r = {0, 0.0f};
        if (classify_float(demo_images[i], &r))
            return 1;
        same += r.guess == results[i].guess;
        right += r.guess == demo_labels[i];
        if (r.guess != results[i].guess)
            printf("#%d: float says %d (%.1f %%), int8 says %d (%.1f %%)\n",
                   i, r.guess, (double)r.probability * 100.0,
                   results[i].guess,
                   (double)results[i].probability * 100.0);
    }
    printf("float: %d right, arena %lu bytes, constants %lu bytes\n", right,
           (unsigned long)VIT_FLOAT_ARENA_BYTES,
           (unsigned long)VIT_FLOAT_WEIGHTS_BYTES);
    printf("int8 and float agree on %d of %d images\n", same, DEMO_IMAGES);
    return 0;
}
#endif

static void draw_cell(unsigned char top, unsigned char bottom, int ascii)
{
    static const char ramp[] = " .:-=+*#%@";
    static const char *const blocks[4] = {
        " ", "\xe2\x96\x84", "\xe2\x96\x80", "\xe2\x96\x88" };
    if (ascii)
        putchar(ramp[(top + bottom) * 9 / 510]);
    else
        fputs(blocks[(top > 95) * 2 + (bottom > 95)], stdout);
}

static void draw_caption(int image, const Result *r)
{
    char text[64];
    int wrong = r->guess != demo_labels[image];
    snprintf(text, sizeof text, "#%d is %d: %d, %.1f %%%s", image,
             demo_labels[image], r->guess, (double)r->probability * 100.0,
             wrong ? " WRONG" : "");
    printf("%-*s", SIDE + GAP, text);
}

/* Draws n images side by side, each with its caption under it. */
static void draw_row(const int *images, int n, const Result *results,
                     int ascii)
{
    for (int y = 0; y < SIDE; y += 2) {
        for (int i = 0; i < n; i++) {
            const unsigned char *row = demo_images[images[i]] + y * SIDE;
            for (int x = 0; x < SIDE; x++)
                draw_cell(row[x], row[x + SIDE], ascii);
            printf("%*s", GAP, "");
        }
        putchar('\n');
    }
    for (int i = 0; i < n; i++)
        draw_caption(images[i], &results[images[i]]);
    puts("\n");
}

static void draw(const Result *results, Style style, int first)
{
    int row[MAX_PER_ROW], n = 0;
    for (int i = 0; i < DEMO_IMAGES; i++) {
        if (i >= first && results[i].guess == demo_labels[i])
            continue;
        row[n++] = i;
        if (n == style.per_row) {
            draw_row(row, n, results, style.ascii);
            n = 0;
        }
    }
    if (n > 0)
        draw_row(row, n, results, style.ascii);
}

/* POSIX order: the first of the three that is set decides. */
static int locale_is_utf8(void)
{
    static const char *const names[3] = { "LC_ALL", "LC_CTYPE", "LANG" };
    for (int i = 0; i < 3; i++) {
        const char *v = getenv(names[i]);
        if (v && *v)
            return strstr(v, "UTF-8") || strstr(v, "utf8") ||
                   strstr(v, "UTF8") || strstr(v, "utf-8");
    }
    return 0;
}

/* As many images as COLUMNS allows; 4 (118 columns) where it is not set. */
static int images_per_row(void)
{
    const char *columns = getenv("COLUMNS");
    long n = columns ? (strtol(columns, NULL, 10) + GAP) / (SIDE + GAP) : 4;
    return n < 1 ? 1 : n > MAX_PER_ROW ? MAX_PER_ROW : (int)n;
}

static int count_right(const Result *results)
{
    int right = 0;
    for (int i = 0; i < DEMO_IMAGES; i++)
        right += results[i].guess == demo_labels[i];
    return right;
}

static void print_summary(int right, double seconds)
{
    printf("%d of %d images right (%.1f %%)\n", right, DEMO_IMAGES,
           100.0 * right / DEMO_IMAGES);
    printf("arena %lu bytes, constants %lu bytes, %.2f ms per image on this "
           "machine\n", (unsigned long)VIT_MNIST_ARENA_BYTES,
           (unsigned long)VIT_MNIST_WEIGHTS_BYTES,
           1000.0 * seconds / DEMO_IMAGES);
}

int main(int argc, char **argv)
{
    static Result results[DEMO_IMAGES];
    Style style = { !locale_is_utf8(), images_per_row() };
    int first = DRAWN_FIRST;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--ascii") == 0) {
            style.ascii = 1;
        } else if (strcmp(argv[i], "--all") == 0) {
            first = DEMO_IMAGES;
        } else {
            fprintf(stderr, "usage: %s [--ascii] [--all]\n", argv[0]);
            return 2;
        }
    }
    clock_t start = clock();
    for (int i = 0; i < DEMO_IMAGES; i++) {
        int status = classify(demo_images[i], &results[i]);
        if (status != 0) {
            fprintf(stderr, "vit_mnist_run: error %d\n", status);
            return 1;
        }
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    draw(results, style, first);
    int right = count_right(results);
    print_summary(right, seconds);
#ifdef WITH_FLOAT
    if (compare(results))
        return 1;
#endif
    return right * 10 < DEMO_IMAGES * 9;
}
