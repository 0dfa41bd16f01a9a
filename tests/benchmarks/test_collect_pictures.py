"""Pictures come out of packages as they went in, and changed or missing ones are refused."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.collect_pictures import collect, write_list
from vocsmooth.errors import InputError

SUN, MOON, STAR = b"the sun", b"the moon!", b"a star"


def write_deb(path: Path, members: dict[str, bytes]) -> None:
    """A Debian package as dpkg-deb makes one: an `ar` of three files, the last one the content."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": content.getvalue()}
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, data in parts.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode())
            file.write(data + b"\n" * (len(data) % 2))


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    write_deb(
        folder / "sky-pictures_1.0-2_all.deb", {"./usr/sun.png": SUN, "./usr/readme": b"no picture"}
    )
    with zipfile.ZipFile(folder / "night_sky-3.1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("night_sky/moon.jpg", MOON)
    with tarfile.open(folder / "star-charts-1.17.3.tgz", "w:gz") as package:  # as `npm pack` does
        entry = tarfile.TarInfo("package/demo/star.jpg")
        entry.size = len(STAR)
        package.addfile(entry, io.BytesIO(STAR))
    return folder


PICTURES = {"day/sun.png": SUN, "day/same.png": SUN, "night/m.jpg": MOON, "night/s.jpg": STAR}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name, content in PICTURES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_written_list_gives_the_folders_back(packages: Path, pictures: Path) -> None:
    listing, back = pictures.parent / "list.json", pictures.parent / "back"
    assert write_list(listing, packages, pictures) == len(PICTURES)
    assert collect(listing, packages, back) == len(PICTURES)
    found = {str(p.relative_to(back)): p.read_bytes() for p in back.rglob("*.*")}
    assert found == PICTURES


def test_what_is_not_as_listed_is_refused(packages: Path, pictures: Path) -> None:
    listing, back = pictures.parent / "list.json", pictures.parent / "back"
    write_list(listing, packages, pictures)
    write_deb(packages / "sky-pictures_1.0-2_all.deb", {"./usr/sun.png": b"a cloud"})
    with pytest.raises(
        InputError, match=r"sky-pictures does not contain \./usr/sun\.png as listed"
    ):
        collect(listing, packages, back)
    (packages / "sky-pictures_1.0-2_all.deb").unlink()
    with pytest.raises(InputError, match="expected one package sky-pictures, found 0"):
        collect(listing, packages, back)
    (packages / "sky-pictures_1.0-2_all.deb").write_bytes(b"!<arch>\n")
    with pytest.raises(InputError, match="is not a Debian package"):
        collect(listing, packages, back)
    shutil.rmtree(packages)
    with pytest.raises(InputError, match=r"expected one package"):
        collect(listing, packages, back)
    with pytest.raises(InputError, match=r"is in none of the packages"):
        write_list(listing, packages, pictures)
