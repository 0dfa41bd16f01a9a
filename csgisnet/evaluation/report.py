"""Write the files of an evaluation: tables, a plot and a page, each complete or not at all."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch

import csgisnet
import vocsmooth
from csgisnet.device import pick_device
from csgisnet.evaluation.gallery import make_page
from csgisnet.evaluation.measure import Contestant, Record, summarise
from csgisnet.evaluation.plots import draw_speed_plot
from csgisnet.evaluation.samples import Samples
from csgisnet.evaluation.tables import format_csv, format_markdown, summary_content
from vocsmooth.files import AnyPath, as_path, write_atomically, write_json
from vocsmooth.settings import counted

FILES = ("per_image.csv", "summary.json", "summary.md", "speed.svg", "report.html")


def write_report(
    out: AnyPath,
    records: Sequence[Record],
    samples: Samples,
    smoothers: Mapping[str, Contestant],
    *,
    subject: str,
    about: Mapping[str, Any],
    title: str | None = None,
    remarks: Sequence[str] = (),
) -> None:
    """Write `FILES` into a folder, which is created if it is missing.

    Parameters
    ----------
    out : str or path-like
        The folder; files of an earlier report in it are replaced.
    records : sequence of Record
        What `csgisnet.evaluation.measure.evaluate` returned.
    samples, smoothers
        What it was given; some of the images are smoothed again for the page.
    subject : str
        The smoother that the report is about.
    about : mapping
        Conditions of the evaluation, as plain values for the JSON file and the page.
    title : str, optional
        What the heading says was measured; by default the subject.
    remarks : sequence of str
        What a reader of the table should know, in sentences; they are written below it.

    Raises
    ------
    OSError
        The folder or a file cannot be written.
    """
    out = as_path(out, "out")
    summaries = summarise(records)
    title = f"{title or subject} on {counted(len(samples.names), 'image')}"
    contents = {
        "per_image.csv": format_csv(records),
        "summary.md": format_markdown(summaries, remarks),
        "speed.svg": draw_speed_plot(summaries, subject),
        "report.html": make_page(
            summaries,
            records,
            samples,
            smoothers,
            subject=subject,
            title=title,
            about=about,
            remarks=remarks,
        ),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        write_atomically(out / name, text.encode(errors="backslashreplace"))  # names of files
    content = summary_content(summaries, {**about, "remarks": list(remarks)})
    write_json(out / "summary.json", content)


def conditions(device: str) -> dict[str, Any]:
    """Return what the results and times of an evaluation depend on, for its report.

    Raises
    ------
    ConfigError
        The device is unknown or not available.
    """
    chosen = pick_device(device)
    return {
        "device": str(chosen),
        "gpu": torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "vocsmooth": vocsmooth.__version__,
        "csgisnet": csgisnet.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }
