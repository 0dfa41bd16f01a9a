"""What a processor can compute at most: multiplications and additions of registers, no memory."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

_CLOCK = r"""
#include <immintrin.h>
#include <stdio.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}
"""

_REGISTERS = r"""
#define STEPS 10000000L
#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

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


_MATRIX = r"""
#include <sys/syscall.h>
#include <unistd.h>

#define STEPS 2000000L

/* Four tiles of 16 x 16 sums; a row of a tile holds 32 bfloat16 or 64 int8. */
#define DEFINE(NAME, PRODUCT, LANES)                                     \
    static double NAME(void) {                                           \
        double best = 0;                                                 \
        for (int turn = 0; turn < 9; turn++) {                           \
            double began = now();                                        \
            for (long k = 0; k < STEPS; k++) {                           \
                PRODUCT(0, 4, 6);                                        \
                PRODUCT(1, 5, 6);                                        \
                PRODUCT(2, 4, 7);                                        \
                PRODUCT(3, 5, 7);                                        \
            }                                                            \
            double rate = STEPS * 4 * 2.0 * 256 * LANES / (now() - began); \
            best = rate > best ? rate : best;                            \
        }                                                                \
        return best / 1e9;                                               \
    }
DEFINE(bfloat16, _tile_dpbf16ps, 32)
DEFINE(int8, _tile_dpbusd, 64)

int main(void) {
    struct {
        unsigned char palette, start, reserved[14];
        unsigned short bytes[16];
        unsigned char rows[16];
    } tiles = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    if (syscall(SYS_arch_prctl, 0x1023, 18))
        return 1;
    _tile_loadconfig(&tiles);
    printf("%.0f %.0f\n", bfloat16(), int8());
    return 0;
}
"""


def peaks() -> dict[str, float]:
    """Return the Gop/s of one core with AVX-512, BF16 and VNNI; nothing where it lacks those.

    With AMX those of bfloat16 and int8 are the matrix unit's.
    """
    found = dict(zip(("float32", "bfloat16", "int8"), _run(_REGISTERS, "-mavx512f"), strict=False))
    matrix = _run(_MATRIX, "-mamx-tile", "-mamx-bf16", "-mamx-int8")
    return found | dict(zip(("bfloat16", "int8"), matrix, strict=False))


def _run(source: str, *options: str) -> list[float]:
    """Return the numbers that a C program prints; none where it cannot be built or run."""
    with tempfile.TemporaryDirectory() as folder:
        path, program = Path(folder, "peak.c"), Path(folder, "peak")
        path.write_text(_CLOCK + source)
        command = ["cc", "-O3", *options, str(path), "-o", str(program)]
        try:
            subprocess.run(command, check=True, capture_output=True)
            printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError):  # no compiler; an unknown instruction
            return []
    return [float(number) for number in printed.split()]
