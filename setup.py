"""The C kernels; all else is in pyproject.toml. Without a compiler NumPy does their work."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "vocsmooth._kernels",
            sources=[
                "vocsmooth/_kernels.c",
                "vocsmooth/_rtv.c",
                "vocsmooth/_multigrid.c",
            ],
            depends=["vocsmooth/_kernels.h"],
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
