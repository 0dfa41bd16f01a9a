/* The rows of a convolution are shared among threads. */
#include <stdint.h>

#include "convolution.h"

LAYOUT(Convolution, FIELD(Convolution, height), FIELD(Convolution, width),
       FIELD(Convolution, channels), FIELD(Convolution, dilation), FIELD(Convolution, blocks),
       FIELD(Convolution, groups), FIELD(Convolution, relu), FIELD(Convolution, kept),
       FIELD(Convolution, in_row), FIELD(Convolution, in_pixel), FIELD(Convolution, out_row),
       FIELD(Convolution, out_pixel), FIELD(Convolution, add_row), FIELD(Convolution, add_pixel),
       FIELD(Convolution, image_row), FIELD(Convolution, image_pixel), FIELD(Convolution, in),
       FIELD(Convolution, weights), FIELD(Convolution, bias), FIELD(Convolution, offsets),
       FIELD(Convolution, places), FIELD(Convolution, image_places), FIELD(Convolution, added),
       FIELD(Convolution, base), FIELD(Convolution, out), FIELD(Convolution, image),
       FIELD(Convolution, failed));

#ifdef _WIN32

void share_rows(ComputeRows compute, const Convolution *c, int rows, int fewest, int threads)
{
    (void)fewest, (void)threads;
    compute(c, 0, rows);
}

#else

#include <pthread.h>

enum { MOST_THREADS = 64 };

typedef struct {
    ComputeRows compute;
    const Convolution *convolution;
    int first, last;
    pthread_t thread;
} Band;

static void *compute_band(void *argument)
{
    const Band *band = argument;
    band->compute(band->convolution, band->first, band->last);
    return NULL;
}

void share_rows(ComputeRows compute, const Convolution *c, int rows, int fewest, int threads)
{
    Band bands[MOST_THREADS];
    int most = rows / fewest < MOST_THREADS ? rows / fewest : MOST_THREADS;
    int count = threads < most ? threads : most, started = 1;
    count = count > 1 ? count : 1;
    for (int i = 0; i < count; i++) {
        int first = (int)((int64_t)rows * i / count);
        int last = (int)((int64_t)rows * (i + 1) / count);
        bands[i] = (Band){compute, c, first, last, 0};
    }
    while (started < count
           && pthread_create(&bands[started].thread, NULL, compute_band, &bands[started]) == 0)
        started++;
    compute_band(&bands[0]);
    for (int i = started; i < count; i++) /* no more threads were to be had */
        compute_band(&bands[i]);
    for (int i = 1; i < started; i++)
        pthread_join(bands[i].thread, NULL);
}

#endif
