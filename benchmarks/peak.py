"""What a processor can compute at most: multiplications and additions of registers, no memory."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

_SOURCE = r"""
#include <immintrin.h>
#include <stdio.h>
#include <time.h>

#define STEPS 10000000L
#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* Sixteen sums that do not wait for each other; LANES products and as many sums an instruction. */
#define SUM(i) __m512i sum##i = zero;
#define DEFINE(NAME, LANES)                                         \
    static double NAME(void) {                                      \
        __m512i zero = _mm512_setzero_si512();                      \
        double best = 0;                                            \
        ALL(SUM)                                                    \
        for (int turn = 0; turn < 9; turn++) {                      \
            double began = now();                                   \
            for (long k = 0; k < STEPS; k++) {                      \
                ALL(NAME##_STEP)                                    \
            }                                                       \
            double rate = STEPS * 32.0 * LANES / (now() - began);   \
            best = rate > best ? rate : best;                       \
        }                                                           \
        return best / 1e9;                                          \
    }
#define STEP(WHAT, i) __asm__ volatile(WHAT " %1, %1, %0" : "+v"(sum##i) : "v"(zero));
#define float32_STEP(i) STEP("vfmadd231ps", i)
#define bfloat16_STEP(i) STEP("vdpbf16ps", i)
#define int8_STEP(i) STEP("vpdpbusd", i)
DEFINE(float32, 16)
DEFINE(bfloat16, 32)
DEFINE(int8, 64)

int main(void) {
    printf("%.0f %.0f %.0f\n", float32(), bfloat16(), int8());
    return 0;
}
"""


def peaks() -> dict[str, float]:
    """Return the Gop/s of one core with AVX-512, BF16 and VNNI; nothing where it lacks those."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "peak.c"), Path(folder, "peak")
        source.write_text(_SOURCE)
        command = ["cc", "-O3", "-mavx512f", str(source), "-o", str(program)]
        try:
            subprocess.run(command, check=True, capture_output=True)
            found = subprocess.run([program], check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError):  # no compiler; an unknown instruction
            return {}
    return dict(zip(("float32", "bfloat16", "int8"), map(float, found.split()), strict=True))
