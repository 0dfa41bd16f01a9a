/* Complex DFTs down the columns of a strip: an element is COLUMNS complex numbers side by side, so
 * that every butterfly is a vector operation whatever the length. */
#ifndef VOCSMOOTH_FFT_H
#define VOCSMOOTH_FFT_H

#include "kernels.h"

enum { COLUMNS = 8 };

typedef double Column __attribute__((vector_size(COLUMNS * sizeof(double))));

typedef struct {
    Column re, im;
} Complex;

/* A length and its tables. Lengths with a prime factor above MAX_RADIX go by Bluestein's chirp,
 * which needs DFTs of a length `padded` >= 2 length - 1. */
typedef struct {
    int length, padded;    /* padded is length itself where no chirp is needed */
    double *cosine, *sine; /* of 2 pi j / padded, for j < padded */
    double *chirp_cosine, *chirp_sine;      /* of pi j^2 / length, for j < length */
    double *filter_re, *filter_im;          /* DFT of the chirp, over padded */
    Complex *strip, *spare;                 /* padded elements each, to work in */
} Fft;

/* What a DFT of a length costs, for each of its elements, in a unit of its own. */
EXPORT double fft_cost(int length);

/* Doubles of memory that fft_plan wants for a length, on the boundary of a Column. */
size_t fft_doubles(int length);

/* Fill the tables for a length in that memory. */
void fft_plan(Fft *fft, int length, double *memory);

/* DFT, not scaled, of the elements put into fft->strip; returns where the result is: in fft->strip
 * or fft->spare, the other being lost. With real and imaginary parts exchanged before and after it
 * is the inverse DFT times the length. */
Complex *fft_transform(const Fft *fft);

#endif
