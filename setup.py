"""The C libraries, and the README for the package index; all else is in pyproject.toml."""

import re
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

LIBRARIES = ("vocsmooth.operators._kernels", "vocsmooth.shards._native")
"""Extensions, each made of the folder csrc beside it."""

SHARED = "vocsmooth/csrc"
"""Headers of all of them."""

# One wheel for every Python from 3.10 on; free-threaded ones have no such interface before 3.15.
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")


# No -ffast-math and no -march=native: the same bits on every machine. Loops that choose between
# numbers are vectorised without AVX-512 only if no one looks at the flags that floating-point
# operations raise.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]


class BuildKernels(build_ext):
    """Leaves no kernels of other names behind, which Python would load before the new ones.

    Microsoft's compiler lacks the vectors that the kernels are written in. On Windows clang-cl
    compiles them, which takes the same options; without it they are left out, as anywhere without
    a compiler.
    """

    def build_extension(self, ext: Extension) -> None:
        """Compile one extension; what fails here is a warning."""
        if self.compiler.compiler_type == "msvc":
            self.compiler.initialize()
            self.compiler.cc = shutil.which("clang-cl") or self.compiler.cc
            ext.extra_compile_args = [f"/clang:{flag}" for flag in FLAGS]
        super().build_extension(ext)

    def run(self) -> None:
        """Compile; without a compiler setuptools warns, and NumPy does the kernels' work."""
        for library in self.extensions:
            new = Path(self.get_ext_fullpath(library.name))
            for old in new.parent.glob(f"{library.name.rpartition('.')[2]}.*.so"):
                if old.name != new.name:
                    old.unlink()
        super().run()


class BuildWheel(bdist_wheel):
    """A wheel without any kernels suits every machine and every Python, and is named so."""

    def run(self) -> None:
        """Compile first: what came of it decides the name."""
        self.run_command("build_ext")
        built = self.get_finalized_command("build_ext").get_outputs()
        self.root_is_pure = not any(Path(path).is_file() for path in built)
        super().run()


def extension(name: str) -> Extension:
    """Return a library that is built if it can be."""
    folder = Path(*name.split(".")[:-1], "csrc")
    return Extension(
        name,
        sources=sorted(map(str, folder.glob("*.c"))),
        include_dirs=[SHARED],
        depends=sorted(map(str, [*folder.glob("*.h"), *Path(SHARED).glob("*.h")])),
        extra_compile_args=FLAGS,
        extra_link_args=["-pthread"] if sys.platform == "linux" else [],
        define_macros=[("Py_LIMITED_API", "0x030A0000")] if LIMITED_API else [],
        py_limited_api=LIMITED_API,
        optional=True,
    )


def long_description() -> str:
    """Return the README for the package index, where relative links and pictures lead nowhere.

    They lead to the repository instead; as long as pyproject.toml does not name one, pictures are
    left out, and links become their words.
    """
    text = Path("README.md").read_text(encoding="utf-8")
    named = re.search(
        r'^Repository = "(.+)"$', Path("pyproject.toml").read_text("utf-8"), re.MULTILINE
    )
    picture, link = (rf"{mark}\[([^]]*)\]\((?!\w+:)([^)\s]+)\)" for mark in ("!", "(?<!!)"))
    if not named:
        return re.sub(link, r"\1", re.sub(picture, "", text))
    text = re.sub(picture, rf"![\1]({named[1]}/raw/HEAD/\2)", text)
    return re.sub(link, rf"[\1]({named[1]}/blob/HEAD/\2)", text)


setup(
    long_description=long_description(),
    long_description_content_type="text/markdown",
    ext_modules=list(map(extension, LIBRARIES)),
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": BuildWheel},
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if LIMITED_API else {},
)
