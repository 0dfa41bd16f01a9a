"""Pillow's limit gives way to ours while we read, and comes back."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocsmooth.errors import InputError
from vocsmooth.images.pillow_limit import allowing
from vocsmooth.images.reading import read_picture


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pillow's limit, so low that it would refuse every picture here."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    return 100


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "bmp", "gif", "ppm"])
def test_only_our_limit_counts(tmp_path: Path, narrow: int, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(path)
    assert read_picture(path, 2000).pixels.shape == (40, 50, 3)
    with pytest.raises(InputError, match="50 x 40 pixels exceed the limit of 1999"):
        read_picture(path, 1999)
    assert narrow == Image.MAX_IMAGE_PIXELS


def test_the_largest_of_several_readers_counts_until_the_last_is_done(narrow: int) -> None:
    first, second = threading.Event(), threading.Event()

    def read(pixels: int, until: threading.Event, started: threading.Event) -> None:
        with allowing(pixels):
            started.set()
            until.wait(20)

    threads = []
    for pixels, until in ((500, first), (3000, second)):
        started = threading.Event()
        threads.append(threading.Thread(target=read, args=(pixels, until, started)))
        threads[-1].start()
        assert started.wait(20)
    assert Image.MAX_IMAGE_PIXELS == 3000
    second.set()
    threads[1].join()
    assert Image.MAX_IMAGE_PIXELS == 500
    first.set()
    threads[0].join()
    assert narrow == Image.MAX_IMAGE_PIXELS
