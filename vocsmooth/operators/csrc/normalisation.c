/* Batch normalisation and the ReLU after it, in training, for the networks of csgisnet.
 *
 * Features are bfloat16 and all sums and statistics are not: blocks of pixels are summed in float32
 * and the blocks in double precision. A pass over memory finds the statistics, and one more does all
 * else; torch takes three for the normalisation and one for the ReLU, and as many backward. Whether
 * the ReLU let a value pass is computed anew on the way back, by the same operations, so that
 * nothing but the features themselves has to be kept. */
#include <stdint.h>

#include "kernels.h"

typedef struct {
    ptrdiff_t pixels;
    int channels, threads;    /* `channels` is a multiple of LANES */
    float momentum, eps;
    const void *in;           /* bfloat16, (pixels, channels) */
    void *out;                /* likewise */
    const void *out_gradient; /* likewise */
    void *in_gradient;        /* likewise */
    const float *weight, *bias;
    float *running_mean, *running_variance;
    float *mean, *inverse;    /* of the batch: mean, and 1 over the standard deviation */
    float *weight_gradient, *bias_gradient;
    double *sums;             /* (threads, 2, channels) */
} Normalisation;

LAYOUT(Normalisation, FIELD(Normalisation, pixels), FIELD(Normalisation, channels),
       FIELD(Normalisation, threads), FIELD(Normalisation, momentum), FIELD(Normalisation, eps),
       FIELD(Normalisation, in), FIELD(Normalisation, out), FIELD(Normalisation, out_gradient),
       FIELD(Normalisation, in_gradient), FIELD(Normalisation, weight), FIELD(Normalisation, bias),
       FIELD(Normalisation, running_mean), FIELD(Normalisation, running_variance),
       FIELD(Normalisation, mean), FIELD(Normalisation, inverse),
       FIELD(Normalisation, weight_gradient), FIELD(Normalisation, bias_gradient),
       FIELD(Normalisation, sums));

#if defined(__x86_64__) && defined(__linux__) && \
    (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)

#include <immintrin.h>
#include <pthread.h>

#define WITH_BFLOAT16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define PART static inline __attribute__((always_inline)) WITH_BFLOAT16

enum { BLOCK = 128, MOST_THREADS = 64 };

typedef struct {
    const Normalisation *call;
    ptrdiff_t first, last;
    double *sums; /* (2, channels) */
    int what;
    pthread_t thread;
} Band;

/* What the normalisation does to 16 channels: features times `factor` plus `offset`. */
typedef struct {
    __m512 factor, offset, mean;
} Channels;

/* Return whether this processor has the instructions. */
EXPORT int normalisation_allowed(void)
{
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512vl");
}

PART __m512 widened(const uint16_t *from)
{
    __m256i bits = _mm256_loadu_si256((const void *)from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

PART void narrow(uint16_t *to, __m512 value)
{
    _mm256_storeu_si256((void *)to, (__m256i)_mm512_cvtneps_pbh(value));
}

PART Channels channels_of(const Normalisation *n, ptrdiff_t c)
{
    __m512 mean = _mm512_loadu_ps(n->mean + c);
    __m512 factor = _mm512_mul_ps(_mm512_loadu_ps(n->weight + c), _mm512_loadu_ps(n->inverse + c));
    return (Channels){factor, _mm512_fnmadd_ps(mean, factor, _mm512_loadu_ps(n->bias + c)), mean};
}

PART __m512 normalised(Channels of, __m512 x)
{
    return _mm512_fmadd_ps(x, of.factor, of.offset);
}

/* The gradient that the ReLU lets pass, as torch does: where the result is above 0, or NaN. */
PART __m512 passed(Channels of, __m512 x, const uint16_t *gradient)
{
    __mmask16 open = _mm512_cmp_ps_mask(normalised(of, x), _mm512_setzero_ps(), _CMP_NLE_UQ);
    return _mm512_maskz_mov_ps(open, widened(gradient));
}

PART void add_up(double *sums, __m512 part)
{
    __m256 low = _mm512_castps512_ps256(part);
    __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(part), 1));
    _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), _mm512_cvtps_pd(low)));
    _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), _mm512_cvtps_pd(high)));
}

/* Sum the features less those of the first pixel, and the squares: near the mean little cancels. */
PART void sum_features(const Normalisation *n, const Band *band, ptrdiff_t first, ptrdiff_t last)
{
    const uint16_t *in = n->in;
    const ptrdiff_t step = n->channels;
    for (ptrdiff_t c = 0; c < step; c += LANES) {
        __m512 shift = widened(in + c), sum = _mm512_setzero_ps(), squares = sum;
        for (ptrdiff_t i = first * step + c; i < last * step; i += step) {
            __m512 x = _mm512_sub_ps(widened(in + i), shift);
            sum = _mm512_add_ps(sum, x);
            squares = _mm512_fmadd_ps(x, x, squares);
        }
        add_up(band->sums + c, sum);
        add_up(band->sums + step + c, squares);
    }
}

PART void write_features(const Normalisation *n, ptrdiff_t first, ptrdiff_t last)
{
    const uint16_t *in = n->in;
    uint16_t *out = n->out;
    const ptrdiff_t step = n->channels;
    for (ptrdiff_t c = 0; c < step; c += LANES) {
        const Channels of = channels_of(n, c);
        for (ptrdiff_t i = first * step + c; i < last * step; i += step)
            /* in this order NaN stays NaN */
            narrow(out + i, _mm512_max_ps(_mm512_setzero_ps(), normalised(of, widened(in + i))));
    }
}

/* Sum the gradient that the ReLU lets pass, and its products with the centred features. */
PART void sum_gradients(const Normalisation *n, const Band *band, ptrdiff_t first, ptrdiff_t last)
{
    const uint16_t *in = n->in, *gradient = n->out_gradient;
    const ptrdiff_t step = n->channels;
    for (ptrdiff_t c = 0; c < step; c += LANES) {
        const Channels of = channels_of(n, c);
        __m512 sum = _mm512_setzero_ps(), products = sum;
        for (ptrdiff_t i = first * step + c; i < last * step; i += step) {
            __m512 x = widened(in + i), g = passed(of, x, gradient + i);
            sum = _mm512_add_ps(sum, g);
            products = _mm512_fmadd_ps(g, _mm512_sub_ps(x, of.mean), products);
        }
        add_up(band->sums + c, sum);
        add_up(band->sums + step + c, products);
    }
}

/* Write the gradient; the weight's and the bias' are known already. */
PART void write_gradients(const Normalisation *n, ptrdiff_t first, ptrdiff_t last)
{
    const uint16_t *in = n->in, *gradient = n->out_gradient;
    uint16_t *out = n->in_gradient;
    const ptrdiff_t step = n->channels;
    const __m512 share = _mm512_set1_ps(1.0f / (float)n->pixels);
    for (ptrdiff_t c = 0; c < step; c += LANES) {
        const Channels of = channels_of(n, c);
        __m512 common = _mm512_mul_ps(_mm512_loadu_ps(n->bias_gradient + c), share);
        __m512 slope = _mm512_mul_ps(_mm512_loadu_ps(n->inverse + c), share);
        slope = _mm512_mul_ps(_mm512_loadu_ps(n->weight_gradient + c), slope);
        for (ptrdiff_t i = first * step + c; i < last * step; i += step) {
            __m512 x = widened(in + i), g = _mm512_sub_ps(passed(of, x, gradient + i), common);
            g = _mm512_fnmadd_ps(_mm512_sub_ps(x, of.mean), slope, g);
            narrow(out + i, _mm512_mul_ps(g, of.factor));
        }
    }
}

enum { SUM_FEATURES, WRITE_FEATURES, SUM_GRADIENTS, WRITE_GRADIENTS };

static WITH_BFLOAT16 void *compute(void *argument)
{
    const Band *band = argument;
    const Normalisation *n = band->call;
    for (ptrdiff_t block = band->first; block < band->last; block += BLOCK) {
        ptrdiff_t end = block + BLOCK < band->last ? block + BLOCK : band->last;
        if (band->what == SUM_FEATURES)
            sum_features(n, band, block, end);
        else if (band->what == WRITE_FEATURES)
            write_features(n, block, end);
        else if (band->what == SUM_GRADIENTS)
            sum_gradients(n, band, block, end);
        else
            write_gradients(n, block, end);
    }
    return NULL;
}

/* Compute all bands, each in a thread of its own if there is one to be had. */
static void compute_all(Band *bands, int count, int what)
{
    int started = 1;
    for (int i = 0; i < count; i++)
        bands[i].what = what;
    while (started < count
           && pthread_create(&bands[started].thread, NULL, compute, &bands[started]) == 0)
        started++;
    compute(&bands[0]);
    for (int i = started; i < count; i++)
        compute(&bands[i]);
    for (int i = 1; i < started; i++)
        pthread_join(bands[i].thread, NULL);
}

/* Cut the pixels into bands of whole blocks, one for each thread; return how many. */
static int cut(const Normalisation *n, Band *bands)
{
    int count = n->threads < MOST_THREADS ? n->threads : MOST_THREADS;
    ptrdiff_t blocks = (n->pixels + BLOCK - 1) / BLOCK;
    for (int i = 0; i < count; i++) {
        ptrdiff_t last = blocks * (i + 1) / count * BLOCK;
        last = last < n->pixels ? last : n->pixels;
        bands[i] = (Band){.call = n, .first = blocks * i / count * BLOCK, .last = last,
                          .sums = n->sums + 2 * i * n->channels};
    }
    memset(n->sums, 0, (size_t)count * 2 * n->channels * sizeof(double));
    return count;
}

/* Return the sum of a quantity over all bands. */
static double total(const Normalisation *n, int count, int index)
{
    double sum = 0.0;
    for (int i = 0; i < count; i++)
        sum += n->sums[2 * i * n->channels + index];
    return sum;
}

/* Write the results, the statistics of the batch, and the running ones moved towards them. */
EXPORT void normalise(const Normalisation *n)
{
    Band bands[MOST_THREADS];
    int count = cut(n, bands);
    double pixels = (double)n->pixels;
    compute_all(bands, count, SUM_FEATURES);
    for (int c = 0; c < n->channels; c++) {
        union {
            uint32_t bits;
            float value;
        } shift = {(uint32_t)((const uint16_t *)n->in)[c] << 16};
        double mean = total(n, count, c) / pixels;
        double variance = total(n, count, n->channels + c) / pixels - mean * mean;
        variance = variance < 0.0 ? 0.0 : variance;
        n->mean[c] = (float)(mean + shift.value);
        n->inverse[c] = (float)(1.0 / sqrt(variance + n->eps));
        double unbiased = variance * pixels / (pixels - 1.0), keep = 1.0 - n->momentum;
        n->running_mean[c] = (float)(keep * n->running_mean[c] + n->momentum * n->mean[c]);
        n->running_variance[c] = (float)(keep * n->running_variance[c] + n->momentum * unbiased);
    }
    compute_all(bands, count, WRITE_FEATURES);
}

/* Write the gradients of the features, the weight and the bias. */
EXPORT void normalise_backward(const Normalisation *n)
{
    Band bands[MOST_THREADS];
    int count = cut(n, bands);
    compute_all(bands, count, SUM_GRADIENTS);
    for (int c = 0; c < n->channels; c++) {
        n->bias_gradient[c] = (float)total(n, count, c);
        n->weight_gradient[c] = (float)(total(n, count, n->channels + c) * n->inverse[c]);
    }
    compute_all(bands, count, WRITE_GRADIENTS);
}

#else

EXPORT int normalisation_allowed(void)
{
    return 0;
}

EXPORT void normalise(const Normalisation *n)
{
    (void)n;
}

EXPORT void normalise_backward(const Normalisation *n)
{
    (void)n;
}

#endif
