"""The C kernels; all else is in pyproject.toml. Without a compiler NumPy does their work."""

from setuptools import Extension, setup

SOURCES = ("module", "rtv", "multigrid", "boxmg", "galerkin", "l0", "fft", "guided", "bilateral")

setup(
    ext_modules=[
        Extension(
            "vocsmooth.operators._kernels",
            sources=[f"vocsmooth/operators/csrc/{name}.c" for name in SOURCES],
            depends=[f"vocsmooth/operators/csrc/{name}.h" for name in ("kernels", "grid", "fft")],
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
