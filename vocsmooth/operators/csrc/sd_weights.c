/* The weights of the SD filter: colours in CIE Lab, and what the pairs of neighbours differ by.
 * sd.py has the equations and does the same in NumPy. */
#include "elementary.h"

enum { DIRECTIONS = 4 };

/* Column of the neighbour right of a pixel, or in the row below it. */
static const int ROW_STEP[DIRECTIONS] = {0, 1, 1, 1}, COLUMN_STEP[DIRECTIONS] = {1, 0, 1, -1};

typedef struct {
    int height, width, channels;
    double sharpness, floor; /* the exponent's factor, and what is added to every weight */
    const double *features;  /* planes (channels, height, width) */
    double *weights;         /* planes (DIRECTIONS, height, width); zero where there is no pair */
    double *row;             /* room for a row */
} Differences;

LAYOUT(Differences, FIELD(Differences, height), FIELD(Differences, width),
       FIELD(Differences, channels), FIELD(Differences, sharpness), FIELD(Differences, floor),
       FIELD(Differences, features), FIELD(Differences, weights), FIELD(Differences, row));

/* The pairs of a direction in a row: their first pixels are columns `begin` to `end`. */
typedef struct {
    ptrdiff_t begin, end, far; /* how many pixels on the second pixel lies */
} Run;

INLINE Run run_of(const Differences *task, int i, int direction)
{
    int step = COLUMN_STEP[direction], width = task->width;
    Run run = {step < 0, step > 0 ? width - 1 : width,
               (ptrdiff_t)ROW_STEP[direction] * width + step};
    if (i + ROW_STEP[direction] >= task->height)
        run.end = run.begin;
    return run;
}

/* Squared differences of a run, summed over the channels. */
INLINE void squares_of(const Differences *task, int i, Run run, double *restrict square)
{
    memset(square, 0, (size_t)task->width * sizeof(double));
    for (int c = 0; c < task->channels; c++) {
        const double *near = task->features + ((ptrdiff_t)c * task->height + i) * task->width;
        const double *far = near + run.far;
        INDEPENDENT
        for (ptrdiff_t k = run.begin; k < run.end; k++)
            square[k] += (near[k] - far[k]) * (near[k] - far[k]);
    }
}

/* Weights exp(-sharpness square / largest square) + floor of all pairs. */
HOT EXPORT void sd_weights(const Differences *task)
{
    double largest = 0.0;
    for (int i = 0; i < task->height; i++)
        for (int direction = 0; direction < DIRECTIONS; direction++) {
            Run run = run_of(task, i, direction);
            squares_of(task, i, run, task->row);
            for (ptrdiff_t k = run.begin; k < run.end; k++)
                largest = task->row[k] > largest ? task->row[k] : largest;
        }
    double scale = largest > 0.0 ? -task->sharpness / largest : 0.0, floor = task->floor;
    for (int direction = 0; direction < DIRECTIONS; direction++)
        for (int i = 0; i < task->height; i++) {
            Run run = run_of(task, i, direction);
            double *to = task->weights + ((ptrdiff_t)direction * task->height + i) * task->width;
            squares_of(task, i, run, task->row);
            const double *square = task->row;
            INDEPENDENT
            for (ptrdiff_t k = run.begin; k < run.end; k++)
                to[k] = exponential(scale * square[k]) + floor;
        }
}

/* Rec. 709's gamma undone, of a value cut to [0, 1]. */
INLINE double linear_of(double value)
{
    value = value > 0.0 ? value : 0.0;
    value = value < 1.0 ? value : 1.0;
    double linear = power_of((value + 0.099) / 1.099, 1.0 / 0.45);
    return linear < 0.018 ? value / 4.5138 : linear;
}

/* The cube root, with a line in its place near 0. */
INLINE double lightness_of(double value)
{
    double root = power_of(value > 0.008856 ? value : 1.0, 1.0 / 3.0);
    return value > 0.008856 ? root : 841.0 / 108.0 * value + 4.0 / 29.0;
}

/* RGB planes of `count` pixels to Lab planes; `matrix` (3, 3) leads from linear RGB to XYZ over
 * the white point. */
HOT EXPORT void rgb_to_lab(const double *matrix, const double *rgb, double *lab, ptrdiff_t count)
{
    INDEPENDENT
    for (ptrdiff_t k = 0; k < count; k++) {
        double r = linear_of(rgb[k]), g = linear_of(rgb[count + k]);
        double b = linear_of(rgb[2 * count + k]);
        double x = lightness_of(matrix[0] * r + matrix[1] * g + matrix[2] * b);
        double y = lightness_of(matrix[3] * r + matrix[4] * g + matrix[5] * b);
        double z = lightness_of(matrix[6] * r + matrix[7] * g + matrix[8] * b);
        lab[k] = 116.0 * y - 16.0;
        lab[count + k] = 500.0 * (x - y);
        lab[2 * count + k] = 200.0 * (y - z);
    }
}
