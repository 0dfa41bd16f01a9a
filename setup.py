"""The C kernels; all else is in pyproject.toml. Without a compiler NumPy does their work."""

from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("vocsmooth/operators/csrc")

setup(
    ext_modules=[
        Extension(
            "vocsmooth.operators._kernels",
            sources=sorted(map(str, FOLDER.glob("*.c"))),
            depends=sorted(map(str, FOLDER.glob("*.h"))),
            # No -ffast-math and no -march=native: the same bits on every machine. Loops that choose
            # between numbers are vectorised without AVX-512 only if no one looks at the flags that
            # floating-point operations raise.
            extra_compile_args=[
                "-O3",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-fvisibility=hidden",
            ],
            optional=True,
        )
    ]
)
