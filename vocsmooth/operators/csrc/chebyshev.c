/* The linear systems of the SD filter, by Chebyshev's iteration; sd.py has the method and does the
 * same in NumPy.
 *
 * An iteration needs no sums over the image, so one may follow another two rows behind: DEPTH of
 * them pass over the image at a time, and find the rows that they share in the cache.
 *
 * Planes are padded: rows lie `pitch` apart, and between them, before the first and after the last
 * there are zeros, which stand for the neighbours that border pixels lack.
 */
#include "kernels.h"

enum { DIRECTIONS = 4, DEPTH = 8 };

typedef struct {
    int height, width, channels, max_cycles;
    double tolerance, gain; /* stop at this residual; reduce by no more before finding it anew */
    const float *weights;   /* planes (DIRECTIONS, height, width); zero where there is no pair */
    const double *image;    /* planes (channels, height, width) */
    double *solution;       /* the same; a guess in, the solution out */
    float *work;            /* chebyshev_floats, zero */
    double residual;        /* out: the largest pixel of image - A solution */
} Graph;

LAYOUT(Graph, FIELD(Graph, height), FIELD(Graph, width), FIELD(Graph, channels),
       FIELD(Graph, max_cycles), FIELD(Graph, tolerance), FIELD(Graph, gain),
       FIELD(Graph, weights), FIELD(Graph, image), FIELD(Graph, solution), FIELD(Graph, work),
       FIELD(Graph, residual));

/* Padded planes of one channel's system. */
typedef struct {
    int height, width;
    ptrdiff_t pitch, shift[DIRECTIONS]; /* a pair's second pixel is `shift` after its first */
    float *weight[DIRECTIONS], *scale;  /* scale is 1 / diagonal */
    float *correction, *residual, *direction;
    double *solution;
} System;

static ptrdiff_t pitch_of(int width)
{
    return ((ptrdiff_t)width / LANES + 1) * LANES; /* at least one zero */
}

/* Floats of memory for an image size: eight padded planes of them and one of doubles. */
EXPORT size_t chebyshev_floats(int height, int width)
{
    return 10 * ((size_t)height + 2) * (size_t)pitch_of(width) + 2 * LANES;
}

static System lay_out_system(const Graph *graph)
{
    ptrdiff_t pitch = pitch_of(graph->width), plane = (graph->height + 2) * pitch;
    System s = {.height = graph->height, .width = graph->width, .pitch = pitch,
                .shift = {1, pitch, pitch + 1, pitch - 1}};
    s.solution = (double *)(graph->work + LANES) + pitch;
    float *next = graph->work + LANES + 2 * plane + pitch;
    float **planes[] = {&s.weight[0], &s.weight[1], &s.weight[2], &s.weight[3], &s.scale,
                        &s.correction, &s.residual, &s.direction};
    for (int p = 0; p < 8; p++, next += plane)
        *planes[p] = next;
    return s;
}

/* Copy the weights; scale by the diagonal, whose largest value is returned. */
HOT static float set_up(const Graph *graph, System *s)
{
    float largest = 1.0f;
    for (int d = 0; d < DIRECTIONS; d++)
        for (int i = 0; i < s->height; i++)
            memcpy(s->weight[d] + i * s->pitch,
                   graph->weights + ((ptrdiff_t)d * s->height + i) * s->width,
                   (size_t)s->width * sizeof(float));
    for (int i = 0; i < s->height; i++)
        for (ptrdiff_t k = i * s->pitch; k < i * s->pitch + s->width; k++) {
            float sum = 1.0f;
            for (int d = 0; d < DIRECTIONS; d++)
                sum += s->weight[d][k] + s->weight[d][k - s->shift[d]];
            s->scale[k] = 1.0f / sum;
            largest = sum > largest ? sum : largest;
        }
    return largest;
}

/* residual = image - A solution in double precision; its largest pixel is returned, or NaN. */
HOT static double find_residual(const System *s, const double *image)
{
    double worst = 0.0, not_finite = 0.0; /* NaN as soon as a pixel is infinite or NaN */
    for (int i = 0; i < s->height; i++) {
        ptrdiff_t start = i * s->pitch;
        const double *u = s->solution + start, *b = image + (ptrdiff_t)i * s->width;
        const float *e = s->weight[0] + start, *down = s->weight[1] + start;
        const float *se = s->weight[2] + start, *sw = s->weight[3] + start;
        float *r = s->residual + start;
        ptrdiff_t p = s->pitch;
        INDEPENDENT
        for (ptrdiff_t k = 0; k < s->width; k++) {
            double x = u[k], sum = b[k] - x;
            sum -= e[k] * (x - u[k + 1]) + e[k - 1] * (x - u[k - 1]);
            sum -= down[k] * (x - u[k + p]) + down[k - p] * (x - u[k - p]);
            sum -= se[k] * (x - u[k + p + 1]) + se[k - p - 1] * (x - u[k - p - 1]);
            sum -= sw[k] * (x - u[k + p - 1]) + sw[k - p + 1] * (x - u[k - p + 1]);
            r[k] = (float)sum;
        }
        for (ptrdiff_t k = 0; k < s->width; k++) {
            double size = fabs((double)r[k]);
            worst = size > worst ? size : worst;
            not_finite += 0.0 * size;
        }
    }
    return worst + not_finite;
}

/* Go along the direction in row i. */
INLINE void advance_row(const System *s, int i)
{
    ptrdiff_t start = i * s->pitch, p = s->pitch;
    const float *d = s->direction + start;
    const float *e = s->weight[0] + start, *down = s->weight[1] + start;
    const float *se = s->weight[2] + start, *sw = s->weight[3] + start;
    float *restrict x = s->correction + start, *restrict r = s->residual + start;
    INDEPENDENT
    for (ptrdiff_t k = 0; k < s->width; k++) {
        float own = d[k], sum = own;
        sum += e[k] * (own - d[k + 1]) + e[k - 1] * (own - d[k - 1]);
        sum += down[k] * (own - d[k + p]) + down[k - p] * (own - d[k - p]);
        sum += se[k] * (own - d[k + p + 1]) + se[k - p - 1] * (own - d[k - p - 1]);
        sum += sw[k] * (own - d[k + p - 1]) + sw[k - p + 1] * (own - d[k - p + 1]);
        x[k] += own;
        r[k] -= sum;
    }
}

/* The next direction in row i. */
INLINE void turn_row(const System *s, int i, float keep, float add)
{
    ptrdiff_t start = i * s->pitch;
    float *restrict d = s->direction + start;
    const float *r = s->residual + start, *scale = s->scale + start;
    INDEPENDENT
    for (ptrdiff_t k = 0; k < s->width; k++)
        d[k] = keep * d[k] + add * (scale[k] * r[k]);
}

/* Let `count` iterations pass over the image, each two rows behind the one before. */
HOT static void sweep(const System *s, const float *keep, const float *add, int count)
{
    for (int front = 0; front <= s->height + 2 * (count - 1); front++)
        for (int n = 0; n < count; n++) {
            int i = front - 2 * n;
            if (i >= 0 && i < s->height)
                advance_row(s, i);
            if (i > 0 && i <= s->height)
                turn_row(s, i - 1, keep[n], add[n]);
        }
}

/* Iterate until the residual must be `reduction` times as large; return the iterations. The
 * eigenvalues of A over its diagonal lie within `half` of 1. */
static int iterate(const System *s, double half, double reduction, int max_cycles)
{
    double ratio = half, left = 1.0; /* T_n / T_(n + 1) and 1 / T_n, of Chebyshev's polynomials */
    int used = 0;
    memset(s->correction, 0, (size_t)s->height * (size_t)s->pitch * sizeof(float));
    for (int i = 0; i < s->height; i++)
        turn_row(s, i, 0.0f, 1.0f);
    while (used < max_cycles && left > reduction) {
        float keep[DEPTH], add[DEPTH];
        int count = 0;
        for (; count < DEPTH && used < max_cycles && left > reduction; count++, used++) {
            double quotient = 1.0 / (2.0 - half * ratio);
            left *= ratio;
            keep[count] = (float)(half * ratio * quotient);
            add[count] = (float)(2.0 * quotient);
            ratio = half * quotient;
        }
        sweep(s, keep, add, count);
    }
    return used;
}

/* Solve for all channels, or until one has used all cycles; return the most that one has used. */
EXPORT int solve_graph(Graph *graph)
{
    System s = lay_out_system(graph);
    double half = 1.0 - 1.0 / set_up(graph, &s);
    int most = 0;
    graph->residual = 0.0;
    for (int c = 0; c < graph->channels; c++) {
        ptrdiff_t plane = (ptrdiff_t)graph->height * graph->width;
        const double *image = graph->image + c * plane;
        double *solution = graph->solution + c * plane, worst;
        int used = 0;
        for (int i = 0; i < s.height; i++)
            memcpy(s.solution + i * s.pitch, solution + (ptrdiff_t)i * s.width,
                   (size_t)s.width * sizeof(double));
        while ((worst = find_residual(&s, image)) > graph->tolerance
               && used < graph->max_cycles) {
            double enough = 0.9 * graph->tolerance / worst;
            enough = enough > graph->gain ? enough : graph->gain;
            used += iterate(&s, half, enough, graph->max_cycles - used);
            for (int i = 0; i < s.height; i++)
                for (ptrdiff_t k = i * s.pitch; k < i * s.pitch + s.width; k++)
                    s.solution[k] += s.correction[k];
        }
        for (int i = 0; i < s.height; i++)
            memcpy(solution + (ptrdiff_t)i * s.width, s.solution + i * s.pitch,
                   (size_t)s.width * sizeof(double));
        graph->residual = worst > graph->residual || worst != worst ? worst : graph->residual;
        most = used > most ? used : most;
    }
    return most;
}
