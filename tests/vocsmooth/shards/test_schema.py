"""Files that are not shards, or were made to do harm: refused before a pixel is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vocsmooth.errors import DatasetError
from vocsmooth.shards.schema import VERSION, map_dtype, read_layout

MAPS = {
    "images": {"label": 3, "edge": 1, "mask": 1, "over": 3},
    "samples": {"input": 3, "texture": 1},
}
SHAPES = [(50, 60), (40, 45)]
ALIGNED = {"alignment_threshold": 4096, "alignment_interval": 4096}
PIXELS = 50 * 60 + 40 * 45


def write_shard(path: Path, **options: Any) -> None:
    """Write a sound shard of two images with one input each, by h5py alone."""
    with h5py.File(path, "w", **(ALIGNED | options)) as file:
        for name, text in {
            "format": b"voc-smooth",
            "version": str(VERSION).encode(),
            "digest": b"d",
            "recipe": b"{}",
        }.items():
            file.attrs[name] = np.bytes_(text)
        file["images/id"] = np.array([b"one", b"two"], "S64")
        file["images/shape"] = np.array(SHAPES, "<i4")
        file["images/start"] = np.array([0, 3000, PIXELS], "<i8")
        file["samples/image"] = np.array([0, 1], "<i4")
        file["samples/start"] = np.array([0, 3000, PIXELS], "<i8")
        for group, names in MAPS.items():
            for name, channels in names.items():
                shape = (PIXELS, channels) if channels > 1 else (PIXELS,)
                file[f"{group}/{name}"] = np.zeros(shape, map_dtype(name))


def replace(file: h5py.File, name: str, **arguments: Any) -> h5py.Dataset:
    """Put another dataset in the place of one."""
    del file[name]
    return file.create_dataset(name, **arguments)


def set_text(file: h5py.File, name: str, value: object, dtype: object = None) -> None:
    """Put another attribute in the place of one."""
    del file.attrs[name]
    file.attrs.create(name, value, dtype=dtype)


def external_storage(file: h5py.File) -> None:
    replace(file, "images/mask", shape=PIXELS, dtype="u1", external=[("/etc/passwd", 0, PIXELS)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(PIXELS,), dtype="u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(PIXELS,))
    del file["images/mask"]
    file.create_virtual_dataset("images/mask", layout)


def soft_link(file: h5py.File) -> None:
    del file["images/mask"]
    file["images/mask"] = h5py.SoftLink("/images/edge")


def external_link(file: h5py.File) -> None:
    del file["images"]
    file["images"] = h5py.ExternalLink("/elsewhere/other.h5", "/images")


def group_for_dataset(file: h5py.File) -> None:
    del file["images/mask"]
    file.create_group("images/mask")


def dataset_for_group(file: h5py.File) -> None:
    replace(file, "samples", data=np.zeros(3))


def vlen_text(file: h5py.File) -> None:
    set_text(file, "recipe", "{}", h5py.string_dtype())


def compact(file: h5py.File) -> None:
    name = "images/label"
    del file[name]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((PIXELS, 3))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_UINT8, space, plist)


ATTACKS: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "external storage": (external_storage, "no external storage"),
    "virtual": (virtual, "no virtual dataset"),
    "soft link": (soft_link, "soft or external link"),
    "external link": (external_link, "soft or external link"),
    "group for dataset": (group_for_dataset, "is not a dataset"),
    "dataset for group": (dataset_for_group, "is missing"),
    "dataset missing": (lambda f: f.__delitem__("samples/input"), "samples/input is missing"),
    "compact": (compact, "contiguous"),
    "chunked": (
        lambda f: replace(f, "images/label", shape=(PIXELS, 3), dtype="u1", chunks=(100, 3)),
        "contiguous",
    ),
    "gzip bomb": (
        lambda f: replace(f, "images/label", shape=(2**30, 3), dtype="u1", compression="gzip"),
        "contiguous",
    ),
    "never written": (
        lambda f: replace(f, "images/label", shape=(2**40, 3), dtype="u1"),
        "stored values",
    ),
    "wrong type": (
        lambda f: replace(f, "images/label", data=np.zeros((PIXELS, 3), "f4")),
        "integers or fixed-length",
    ),
    "wider integers": (
        lambda f: replace(f, "images/edge", data=np.zeros(PIXELS, "<u2")),
        "type uint8",
    ),
    "variable-length ids": (
        lambda f: replace(f, "images/id", data=["one", "two"], dtype=h5py.string_dtype()),
        "integers or fixed-length",
    ),
    "four channels": (
        lambda f: replace(f, "images/label", data=np.zeros((PIXELS, 4), "u1")),
        "expected shape",
    ),
    "a pixel too few": (
        lambda f: replace(f, "images/edge", data=np.zeros(PIXELS - 1, "u1")),
        "images/edge holds 4799 pixels, expected 4800",
    ),
    "an id too many": (
        lambda f: replace(f, "images/id", data=np.array([b"1", b"2", b"3"], "S64")),
        "is not 3 rows of two positive sizes",
    ),
    "ids no text": (
        lambda f: replace(f, "images/id", data=np.array([b"\xff", b"2"], "S64")),
        "cannot be read",
    ),
    "table of two dimensions": (
        lambda f: replace(f, "samples/image", data=np.zeros((2, 1), "<i4")),
        "samples/image has shape",
    ),
    "scalar table": (
        lambda f: replace(f, "samples/image", data=np.int32(0)),
        "samples/image has shape",
    ),
    "sample of no image": (
        lambda f: f["samples/image"].write_direct(np.array([0, 2], "<i4")),
        "points outside its 2 images",
    ),
    "negative start": (
        lambda f: f["images/start"].write_direct(np.array([-8, 3000, PIXELS], "<i8")),
        "does not follow",
    ),
    "overlapping starts": (
        lambda f: f["samples/start"].write_direct(np.array([0, 2999, PIXELS], "<i8")),
        "does not follow",
    ),
    "sizes that overflow": (
        lambda f: f["images/shape"].write_direct(np.full((2, 2), 2**31 - 1, "<i4")),
        "does not follow",
    ),
    "another format": (lambda f: set_text(f, "format", np.bytes_("x")), "format 'x'"),
    "another version": (lambda f: set_text(f, "version", np.bytes_("0")), "version '0'"),
    "number for text": (lambda f: set_text(f, "digest", 3), "digest is not a string"),
    "texts for text": (
        lambda f: set_text(f, "digest", np.array([b"a", b"b"])),
        "digest is not a single string",
    ),
    "variable-length text": (vlen_text, "recipe is not a string of fixed length"),
    "no recipe": (lambda f: f.attrs.__delitem__("recipe"), "cannot be read"),
}


class TestReadLayout:
    def test_locates_what_h5py_reads(self, tmp_path: Path) -> None:
        path = tmp_path / "x.h5"
        write_shard(path)
        with h5py.File(path, "r+") as file:
            file["samples/texture"][:] = np.arange(PIXELS)
        layout = read_layout(path, MAPS)
        place = layout.maps["texture"]
        found = np.fromfile(path, place.dtype, PIXELS, offset=place.offset)
        np.testing.assert_array_equal(found, np.arange(PIXELS))
        assert layout.ids == ("one", "two")
        assert layout.shapes.tolist() == [list(shape) for shape in SHAPES]

    @pytest.mark.parametrize("name", ATTACKS)
    def test_refuses(self, tmp_path: Path, name: str) -> None:
        attack, message = ATTACKS[name]
        path = tmp_path / "x.h5"
        write_shard(path)
        with h5py.File(path, "r+", **ALIGNED) as file:
            attack(file)
        with pytest.raises(DatasetError, match=message):
            read_layout(path, MAPS)

    def test_refuses_a_user_block(self, tmp_path: Path) -> None:
        write_shard(tmp_path / "x.h5", userblock_size=4096)
        with pytest.raises(DatasetError, match="user block"):
            read_layout(tmp_path / "x.h5", MAPS)

    def test_refuses_maps_off_the_pages(self, tmp_path: Path) -> None:
        write_shard(tmp_path / "x.h5", alignment_threshold=2**40)
        with pytest.raises(DatasetError, match="alignment to pages"):
            read_layout(tmp_path / "x.h5", MAPS)

    @pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"{}", bytes(5000)])
    def test_refuses_what_is_no_hdf5(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.h5").write_bytes(content)
        with pytest.raises(DatasetError, match="cannot be read as HDF5"):
            read_layout(tmp_path / "x.h5", MAPS)

    def test_refuses_truncated_and_missing_files(self, tmp_path: Path) -> None:
        path = tmp_path / "x.h5"
        write_shard(path)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DatasetError, match="cannot be read as HDF5"):
            read_layout(path, MAPS)
        path.unlink()
        with pytest.raises(DatasetError, match="is missing"):
            read_layout(path, MAPS)

    @settings(
        max_examples=50,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        shape=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=4, max_size=4),
        start=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
        image=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=2),
    )
    def test_no_table_leads_outside(
        self, tmp_path: Path, shape: list[int], start: list[int], image: list[int]
    ) -> None:
        path = tmp_path / "x.h5"
        write_shard(path)
        with h5py.File(path, "r+") as file:
            file["images/shape"][:] = np.array(shape).reshape(2, 2)
            file["images/start"][:] = start
            file["samples/image"][:] = image
        with pytest.raises(DatasetError):
            read_layout(path, MAPS)
