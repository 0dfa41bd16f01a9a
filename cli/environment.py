"""What is installed here, as a bug report should say."""

from __future__ import annotations

import platform
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import vocsmooth

PACKAGES = {
    "torch": "torch",
    "cv2": "opencv",
    "numpy": "numpy",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "joblib": "joblib",
    "h5py": "h5py",
    "PIL": "pillow",
    "blake3": "blake3",
    "tifffile": "tifffile",
    "safetensors": "safetensors",
    "click": "click",
    "rich": "rich",
    "tensorboard": "tensorboard",
}
"""Module to import, and the distribution that it comes from."""

OPENCV = ("opencv-contrib-python", "opencv-python")
OPENCV_FLAVOURS = (*OPENCV, *(f"{name}-headless" for name in OPENCV))
"""Distributions that install cv2; conda has another one. Each overwrites the others' files."""

OPTIONAL = {"onnx": "onnx", "onnxruntime": "onnxruntime", "distributed": "distributed"}
"""Packages of the extras `export` and `cluster`, which may be missing."""

INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
"""The instructions that decide how fast operators and networks run."""


def environment() -> dict[str, Any]:
    """Return versions, kernels, processor and accelerators as plain values, ready for JSON."""
    return {
        "vocsmooth": vocsmooth.__version__,
        "kernels": _or_reason(_kernels),
        "reading of shards": _or_reason(_reading),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": _or_reason(_cores),
        "instructions": _instructions(),
        "accelerators": _or_reason(_accelerators),
        "precision": _or_reason(_precision),
        "packages": {
            **{name: _version(module, name) for module, name in PACKAGES.items()},
            **{n: v for m, n in OPTIONAL.items() if (v := _version(m, n)) != "missing"},
        },
    }


def as_text(found: dict[str, Any]) -> str:
    """Write what `environment` returns as text, one line for each thing."""
    simple = {key: value for key, value in found.items() if key != "packages"}
    lines = [f"vocsmooth {simple.pop('vocsmooth')}"]
    for key, value in simple.items():
        text = ", ".join(value) or "none" if isinstance(value, list) else value
        lines.append(f"{key}: {text}")
    lines += [f"{name} {version}" for name, version in found["packages"].items()]
    return "\n".join(lines)


def problems(found: dict[str, Any]) -> list[str]:
    """Return a sentence for each package that is missing or cannot be imported."""
    return [
        f"{name} is needed and cannot be used: {version}."
        for name, version in found["packages"].items()
        if not version[:1].isdigit()
    ]


def _version(module: str, distribution: str) -> str:
    """Import a package and return its version, or say why that failed."""
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        return "missing" if error.name == module else f"broken ({error})"
    except ImportError as error:
        return f"broken ({error})"
    if module == "cv2":
        flavours = [name for name in OPENCV_FLAVOURS if _is_installed(name)]
        return f"{found.__version__} ({', '.join(flavours) or 'not from pip'})"
    return metadata.version(distribution) if _is_installed(distribution) else "missing"


def _is_installed(distribution: str) -> bool:
    """Return whether a distribution is recorded as installed."""
    return any(True for _ in metadata.distributions(name=distribution))


def _cores() -> int:
    from vocsmooth.workers.processes import available_cores

    return available_cores()


def _kernels() -> str:
    from vocsmooth.operators.kernels import describe

    return describe()


def _reading() -> str:
    from vocsmooth.shards.native import describe

    return describe()


def _accelerators() -> list[str]:
    """Name what torch can compute on besides the CPU."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cards = [torch.cuda.get_device_name(i) for i in range(count)]
    found = [f"{card} (CUDA {torch.version.cuda})" for card in cards]
    return [*found, "MPS"] if torch.backends.mps.is_available() else found


def _precision() -> str:
    """Say in which precision networks run by default, and why."""
    from csgisnet.device import pick_device
    from csgisnet.networks.smoothing import COMPACT
    from csgisnet.prediction.precision import choose

    choice = choose("auto", COMPACT, pick_device())
    return f"{choice.precision}, as {choice.reason}"


def _instructions() -> list[str]:
    """Return those of `INSTRUCTIONS` that the processor says it has; Linux only."""
    file = Path("/proc/cpuinfo")
    words = set(file.read_text(encoding="utf-8").split()) if file.exists() else set()
    return [name for name in INSTRUCTIONS if name in words]


def _or_reason(find: Any) -> Any:
    """Return the result of `find`, or the reason if an import fails."""
    try:
        return find()
    except ImportError as error:
        return f"unknown ({error})"
