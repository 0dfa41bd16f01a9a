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
            # No -ffast-math and no -march=native: the same bits on every machine.
            extra_compile_args=[
                "-O3",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fvisibility=hidden",
            ],
            optional=True,
        )
    ]
)
