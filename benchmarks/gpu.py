"""Everything that needs a GPU, in one command: tests, speed, memory. See `make gpu`.

    python -m benchmarks.gpu

Runs from the checkout, without installing it, with whatever Python (3.10 or later) and torch (2.11
or later) there are, and takes less than nine minutes. Writes benchmarks/results/gpu-NAME.json after
every part, so that a part that fails costs only itself. `--device cpu --small` tries most of it on
a machine without a GPU, in a few minutes, and writes gpu-tried-on-cpu.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

REQUIRED = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "h5py": "h5py",
    "cv2": "opencv-contrib-python (or any other opencv)",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "joblib": "joblib",
    "safetensors": "safetensors",
    "tensorboard": "tensorboard",
    "tifffile": "tifffile",
    "pytest": "pytest",
    "pytest_timeout": "pytest-timeout",
}
"""Modules that the parts import, and the packages that have them."""

ROOT = Path(__file__).resolve().parents[1]

RESULTS = ROOT / "benchmarks" / "results"

MINUTES = 8.5


def main() -> None:
    """Run every part in a process of its own and write what they found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try this script")
    parser.add_argument("--small", action="store_true", help="as little of everything as possible")
    parser.add_argument("--out", type=Path, help="JSON file; by default benchmarks/results/gpu-*")
    arguments = parser.parse_args()
    require_packages()
    require_device(arguments.device)
    ends = time.monotonic() + MINUTES * 60
    report = about(arguments.device)
    out: Path = arguments.out or default_output(arguments.device, report["device"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_data(folder, small=arguments.small)
        for part, command in parts(folder, arguments.device, small=arguments.small).items():
            print(f"== {part}: {' '.join(command)}", flush=True)
            report["parts"][part] = run(command, folder / f"{part}.json", ends - time.monotonic())
            out.write_text(json.dumps(report, indent=1) + "\n")
    failed = [part for part, found in report["parts"].items() if not found["passed"]]
    print(f"\n{out}: {len(report['parts']) - len(failed)} parts passed")
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}.")


def default_output(device: str, name: str) -> Path:
    """Return where the results go: among the committed ones if a GPU was measured."""
    if device == "cpu":
        return ROOT / "gpu-tried-on-cpu.json"
    return RESULTS / f"gpu-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"


def require_packages() -> None:
    """Say which packages are missing and end, if any are."""
    missing = [package for module, package in REQUIRED.items() if find_spec(module) is None]
    if missing:
        raise SystemExit(
            f"{sys.executable} lacks: {', '.join(missing)}. Install them and try again."
        )


def require_device(name: str) -> torch.device:
    """Return the device, or say why it cannot be used and end."""
    from csgisnet.device import pick_device
    from vocsmooth.errors import VocsmoothError

    try:
        return pick_device(name)
    except VocsmoothError as error:
        raise SystemExit(str(error)) from None


def about(device: str) -> dict[str, Any]:
    """Return what the measurements were taken on."""
    import torch

    from benchmarks.machine import describe
    from csgisnet.device import pick_device
    from vocsmooth.operators import kernels

    return {
        "device": describe(pick_device(device)),
        "devices": torch.cuda.device_count(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "python": platform.python_version(),
        "kernels": kernels.choose("C", "NumPy"),
        "date": datetime.date.today().isoformat(),
        "parts": {},
    }


def make_data(folder: Path, *, small: bool) -> None:
    """Draw scenes, build a dataset of them, and save a segmenter: speed depends on no weights."""
    from csgisnet.checkpoints.segmenters import save_segmenter
    from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
    from vocsmooth.dataset.build import build_dataset
    from vocsmooth.maps.recipe import load_recipe
    from vocsmooth.sources.scenes import write_scene_tree

    counts = {"train": 4, "val": 2} if small else {"train": 24, "val": 4}
    write_scene_tree(folder / "scenes", counts)
    build_dataset(
        folder / "scenes", folder / "data", load_recipe(ROOT / "manifests" / "release.toml")
    )
    large = (200, 300) if small else (1080, 1920)
    write_scene_tree(folder / "large", {"train": 1 if small else 4}, size=large)
    save_segmenter(folder / "segmenter.safetensors", Segmenter(SegmenterConfig()))


def parts(folder: Path, device: str, *, small: bool) -> dict[str, list[str]]:
    """Return the command of each part; what it measures goes to its own JSON file in `folder`."""
    python = [sys.executable, "-m"]
    tests = [*python, "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", "tests/csgisnet"]
    training = [
        *(*python, "benchmarks.train_step", "--device", device, "--data", f"{folder}/data"),
        *("--segmenter", f"{folder}/segmenter.safetensors"),
        *(("--batch", "2", "--rounds", "1", "--patch", "96") if small else ("--steps", "10")),
    ]
    prediction = [
        *(*python, "benchmarks.predict", f"{folder}/large/JPEGImages", "--device", device),
        *(("--limit", "1", "--rounds", "1") if small else ()),
    ]

    def into(part: str, command: list[str]) -> list[str]:
        return [*command, "--out", f"{folder}/{part}.json"]

    found = {
        "tests": [*tests, "-m", "cuda", "--accelerator", device],
        "train-compact": into("train-compact", [*training, "--config", "compact"]),
        "train-full": into("train-full", [*training, "--config", "full"]),
        "predict": into("predict", prediction),
        "forward": into("forward", [*python, "benchmarks.gpu_forward", "--device", device]),
        "train-compiled": into("train-compiled", [*training, "--config", "full", "--compile"]),
    }
    if small:  # compiling alone takes longer than all else
        del found["train-compiled"], found["train-full"]
        found["forward"].append("--small")
    return found


def run(command: list[str], measured: Path, seconds: float) -> dict[str, Any]:
    """Run a part within what is left of the time; return how it ended, and what it measured."""
    began = time.monotonic()
    try:
        code = subprocess.run(command, cwd=ROOT, timeout=max(1.0, seconds), check=False).returncode
    except subprocess.TimeoutExpired:
        code = -1
        print(f"stopped: {MINUTES} minutes are over")
    found = {"passed": code == 0, "seconds": round(time.monotonic() - began, 1)}
    if measured.is_file():
        found["measured"] = json.loads(measured.read_text())
    return found


if __name__ == "__main__":
    main()
