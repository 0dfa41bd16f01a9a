/* The guided filter in one sweep down the rows; guided.py states its equations.
 *
 * Sums over square windows are running sums: of the columns, which a row enters as another leaves,
 * and along the row. Each row of sums gives a row of lines (a, b), which enter running sums of their
 * own; a row of the result follows `radius` rows behind. So only the last 2 radius + 1 rows of lines
 * are ever kept, and nearly all work is done in the cache.
 */
#include "kernels.h"

/* What guided_filter reads and writes: planes, C-contiguous. */
typedef struct {
    int height, width;
    int row_radius, column_radius; /* below the height and the width */
    double eps;
    const double *guide;  /* 1 or 3 planes */
    const double *image;  /* 1 or 3 planes */
    double *result;       /* as many as the image */
    double *work;         /* guided_doubles, zeroed */
} Guided;

LAYOUT(Guided, FIELD(Guided, height), FIELD(Guided, width), FIELD(Guided, row_radius),
       FIELD(Guided, column_radius), FIELD(Guided, eps), FIELD(Guided, guide), FIELD(Guided, image),
       FIELD(Guided, result), FIELD(Guided, work));

/* Quantities summed for a fit: guide, image, guide times guide, guide times image. */
#define SUMS(guides, images) ((guides) + (images) + (guides) * ((guides) + 1) / 2 + (guides) * (images))
/* Quantities of the lines: for each image plane a slope for each guide plane, and b. */
#define LINES(guides, images) ((images) * ((guides) + 1))

/* A row of running column sums has zeros at both ends, so that windows need no care there. */
INLINE ptrdiff_t column_pitch(const Guided *g)
{
    return (ptrdiff_t)g->width + 2 * g->column_radius + 1;
}

INLINE size_t doubles(const Guided *g, int sums, int lines)
{
    size_t rows = (size_t)sums + (size_t)lines * (2 * (size_t)g->row_radius + 1) + 1;
    return rows * (size_t)g->width + (size_t)(sums + lines) * (size_t)column_pitch(g);
}

/* Rows or columns of a window around `at` that lie inside. */
INLINE int inside(int at, int radius, int side)
{
    int first = at > radius ? at - radius : 0, last = at + radius < side ? at + radius : side - 1;
    return last - first + 1;
}

/* Let a row of the images enter (sign 1) or leave (sign -1) the column sums. */
INLINE void add_pixels(const Guided *g, double *columns, int row, double sign, const int guides,
                       const int images)
{
    ptrdiff_t pitch = column_pitch(g), plane = (ptrdiff_t)g->height * g->width;
    const double *guide = g->guide + (ptrdiff_t)row * g->width;
    const double *image = g->image + (ptrdiff_t)row * g->width;
    INDEPENDENT
    for (int x = 0; x < g->width; x++) {
        double *sum = columns + x, value[6];
        for (int i = 0; i < guides; i++)
            value[i] = guide[i * plane + x];
        for (int p = 0; p < images; p++)
            value[guides + p] = image[p * plane + x];
        for (int i = 0; i < guides + images; i++, sum += pitch)
            *sum += sign * value[i];
        for (int i = 0; i < guides; i++)
            for (int j = 0; j <= i; j++, sum += pitch)
                *sum += sign * (value[i] * value[j]);
        for (int p = 0; p < images; p++)
            for (int i = 0; i < guides; i++, sum += pitch)
                *sum += sign * (value[i] * value[guides + p]);
    }
}

/* Let a row of lines enter or leave their column sums. */
INLINE void add_lines(const Guided *g, double *columns, const double *lines, double sign,
                      const int count)
{
    ptrdiff_t pitch = column_pitch(g);
    for (int k = 0; k < count; k++) {
        INDEPENDENT
        for (int x = 0; x < g->width; x++)
            columns[k * pitch + x] += sign * lines[(ptrdiff_t)k * g->width + x];
    }
}

/* Window sums along the row of `count` column sums, side by side since each waits for its last. */
INLINE void sum_along(const Guided *g, double *out, const double *columns, const int count)
{
    ptrdiff_t pitch = column_pitch(g);
    int r = g->column_radius;
    double sum[6] = {0};
    for (int k = 0; k < count; k++)
        for (int x = 0; x < r; x++)
            sum[k] += columns[k * pitch + x];
    for (int x = 0; x < g->width; x++)
        for (int k = 0; k < count; k++) {
            sum[k] += columns[k * pitch + x + r] - columns[k * pitch + x - r - 1];
            out[(ptrdiff_t)k * g->width + x] = sum[k];
        }
}

INLINE void sum_all(const Guided *g, double *out, const double *columns, const int count)
{
    int k = 0;
    for (; k + 6 <= count; k += 6)
        sum_along(g, out + (ptrdiff_t)k * g->width, columns + k * column_pitch(g), 6);
    if (count % 6)
        sum_along(g, out + (ptrdiff_t)k * g->width, columns + k * column_pitch(g), count % 6);
}

/* Solve (cov(I) + eps 1) a = cov(I, p) for each pixel of a row, by elimination; b = E[p] - a'E[I]. */
INLINE void fit_lines(const Guided *g, double *lines, const double *sums, const double *columns_inside,
                      int rows_inside, const int guides, const int images)
{
    ptrdiff_t width = g->width;
    INDEPENDENT
    for (int x = 0; x < g->width; x++) {
        double share = 1.0 / (rows_inside * columns_inside[x]);
        double mean[6], matrix[3][3], a[3];
        const double *sum = sums + x;
        double *line = lines + x;
        for (int i = 0; i < guides + images; i++, sum += width)
            mean[i] = *sum * share;
        for (int i = 0; i < guides; i++)
            for (int j = 0; j <= i; j++, sum += width)
                matrix[i][j] = *sum * share - mean[i] * mean[j] + (i == j ? g->eps : 0.0);
        for (int k = 0; k < guides; k++) /* the upper half takes the factors */
            for (int i = k + 1; i < guides; i++) {
                matrix[k][i] = matrix[i][k] / matrix[k][k];
                for (int j = k + 1; j <= i; j++)
                    matrix[i][j] -= matrix[k][i] * matrix[j][k];
            }
        for (int p = 0; p < images; p++) {
            double b = mean[guides + p];
            for (int i = 0; i < guides; i++, sum += width) {
                a[i] = *sum * share - mean[i] * mean[guides + p];
                for (int k = 0; k < i; k++)
                    a[i] -= matrix[k][i] * a[k];
            }
            for (int k = guides - 1; k >= 0; k--) {
                a[k] /= matrix[k][k];
                for (int i = k + 1; i < guides; i++)
                    a[k] -= matrix[k][i] * a[i];
                b -= a[k] * mean[k];
            }
            for (int i = 0; i < guides; i++, line += width)
                *line = a[i];
            *line = b;
            line += width;
        }
    }
}

/* Apply the mean line of all windows that hold each pixel of a row. */
INLINE void apply_lines(const Guided *g, const double *sums, const double *columns_inside, int row,
                        const int guides, const int images)
{
    ptrdiff_t width = g->width, plane = g->height * width;
    const double *guide = g->guide + row * width;
    double *result = g->result + row * width;
    int rows_inside = inside(row, g->row_radius, g->height);
    INDEPENDENT
    for (int x = 0; x < g->width; x++) {
        double share = 1.0 / (rows_inside * columns_inside[x]);
        for (int p = 0; p < images; p++) {
            const double *sum = sums + p * (guides + 1) * width + x;
            double value = sum[guides * width];
            for (int i = 0; i < guides; i++)
                value += sum[i * width] * guide[i * plane + x];
            result[p * plane + x] = value * share;
        }
    }
}

/* Take one step of the sweep for each row that enters. */
INLINE void sweep(const Guided *g, const int guides, const int images)
{
    const int count = SUMS(guides, images), line_count = LINES(guides, images);
    int r = g->row_radius, kept = 2 * r + 1;
    ptrdiff_t pitch = column_pitch(g), ring_row = (ptrdiff_t)line_count * g->width;
    double *sums = g->work, *ring = sums + (ptrdiff_t)count * g->width;
    double *columns_inside = ring + kept * ring_row;
    double *columns = columns_inside + g->width + g->column_radius + 1;
    double *line_columns = columns + count * pitch;
    for (int x = 0; x < g->width; x++)
        columns_inside[x] = inside(x, g->column_radius, g->width);
    for (int row = 0; row < g->height + 2 * r; row++) {
        int centre = row - r, done = row - 2 * r, leaving = row - kept, old = centre - kept;
        if (row < g->height)
            add_pixels(g, columns, row, 1.0, guides, images);
        if (leaving >= 0 && leaving < g->height)
            add_pixels(g, columns, leaving, -1.0, guides, images);
        if (old >= 0)
            add_lines(g, line_columns, ring + (old % kept) * ring_row, -1.0, line_count);
        if (centre >= 0 && centre < g->height) {
            double *lines = ring + (centre % kept) * ring_row;
            sum_all(g, sums, columns, count);
            fit_lines(g, lines, sums, columns_inside, inside(centre, r, g->height), guides, images);
            add_lines(g, line_columns, lines, 1.0, line_count);
        }
        if (done >= 0) {
            sum_all(g, sums, line_columns, line_count);
            apply_lines(g, sums, columns_inside, done, guides, images);
        }
    }
}

HOT static void sweep_grey(const Guided *g) { sweep(g, 1, 1); }
HOT static void sweep_grey_by_color(const Guided *g) { sweep(g, 3, 1); }
HOT static void sweep_color(const Guided *g) { sweep(g, 3, 3); }

/* Doubles of `work`. */
EXPORT size_t guided_doubles(const Guided *guided, int guides, int images)
{
    return doubles(guided, SUMS(guides, images), LINES(guides, images));
}

/* Filter 1 image plane by 1 or 3 guide planes, or 3 by 3. */
EXPORT void guided_filter(const Guided *guided, int guides, int images)
{
    if (guides == 1)
        sweep_grey(guided);
    else if (images == 1)
        sweep_grey_by_color(guided);
    else
        sweep_color(guided);
}
