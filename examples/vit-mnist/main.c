/* Classifies 64 handwritten digits with the compiled model and shows them.
 * The first eight are drawn, then every one that the model gets wrong.
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

/* Runs the model on one image; returns what the model returns. */
static int classify(const unsigned char *pixels, Result *result)
{
    float *input = vit_mnist_input_image(&arena);
    for (int i = 0; i < SIDE * SIDE; i++)
        input[i] = (float)pixels[i] / 255.0f;
    int status = vit_mnist_run(&arena);
    if (status == 0)
        *result = best_class(vit_mnist_output_logits(&arena));
    return status;
}

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
    printf("arena %lu bytes, %.2f ms per image on this machine\n",
           (unsigned long)VIT_MNIST_ARENA_BYTES,
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
    return right * 10 < DEMO_IMAGES * 9;
}
