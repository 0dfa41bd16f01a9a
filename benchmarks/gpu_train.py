"""Train the full network for some minutes on data built on the machine; see `make gpu-train`.

    python -m benchmarks.gpu_train gpu --minutes 25

Draws scenes and builds the dataset of the recipe "release" where FOLDER lacks it, then starts the
run of `release-full.toml`, or resumes it. When the time is over the state is saved, and the same
command goes on from there. Needs no installation and no network; without --textures the textures
are those that scikit-image carries, and procedural ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import threading
from pathlib import Path

from benchmarks.gpu import ROOT, require_device, require_packages


def main() -> None:
    """Build what is missing, then train until the time is over."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="for the scenes, the dataset and the run")
    parser.add_argument("--minutes", type=float, default=20, help="of training, the build apart")
    parser.add_argument("--config", default="release-full", help="bundled name or a TOML file")
    parser.add_argument("--textures", type=Path, help="folder of textures")
    parser.add_argument("--scenes", type=int, default=1200, help="scenes to train on")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="the demo's network and a few scenes")
    arguments = parser.parse_args()
    require_packages()

    from csgisnet.device import keep_freed_memory
    from csgisnet.training.config import load_config, without_terms
    from csgisnet.training.runs import RUN_FILE
    from csgisnet.training.train import train

    device = require_device(arguments.device)  # before hours of building
    data, run = arguments.folder / "data", arguments.folder / "run"
    build(arguments.folder, data, 6 if arguments.small else arguments.scenes, arguments.textures)
    if arguments.small:
        config = without_terms(load_config("demo"), ("contrast", "semantic"))
    else:
        config = load_config(arguments.config)
    often = dataclasses.replace(config.run, checkpoint_every=min(200, config.run.checkpoint_every))
    config = dataclasses.replace(config, run=often)
    clock = threading.Timer(arguments.minutes * 60, os.kill, (os.getpid(), signal.SIGTERM))
    clock.daemon = True
    clock.start()
    keep_freed_memory()  # as the command does
    resume = (run / RUN_FILE).exists()
    summary = train(data, run, None if resume else config, device=str(device), resume=resume)
    clock.cancel()
    print(f"{run}: {summary.steps} steps, {summary.seconds:.0f} s, scores {summary.scores}")
    if not summary.finished:
        print("Not finished; the same command goes on from there.")


def build(folder: Path, data: Path, scenes: int, textures: Path | None) -> None:
    """Draw the scenes and build the dataset, or do what is missing of it."""
    from vocsmooth.dataset.build import Progress, build_dataset
    from vocsmooth.maps.recipe import load_recipe
    from vocsmooth.sources.scenes import write_scene_tree

    def show(progress: Progress) -> None:
        print(f"photographs: {progress.done} of {progress.total}", flush=True)

    if not (folder / "scenes" / "SOURCES.txt").exists():
        write_scene_tree(folder / "scenes", {"train": scenes, "val": max(2, scenes // 50)}, seed=1)
    build_dataset(
        folder / "scenes",
        data,
        load_recipe(ROOT / "manifests" / "release.toml"),
        textures_dir=textures,
        progress=show,
    )


if __name__ == "__main__":
    main()
