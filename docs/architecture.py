"""Draw docs/architecture.svg: the wings and which of them imports which, from the code itself.

    python docs/architecture.py

An arrow leads from a wing to one that it imports. An arrow is left out where a chain of other
arrows leads to the same wing. The names and jobs of the wings are in `WINGS`; files and arrows are
read from the sources, so run this again after a change of either (tests/test_architecture.py
compares).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).resolve().parents[1]

PICTURE = ROOT / "docs" / "architecture.svg"

WINGS: dict[str, tuple[float, str]] = {
    "cli": (3.0, "the commands, vocsmooth and csgisnet"),
    "vocsmooth/dataset": (1.2, "plan, build, verify, repair, archive"),
    "vocsmooth/maps": (0.55, "one photograph becomes all its maps"),
    "vocsmooth/sources": (0.0, "photographs, masks, drawn scenes"),
    "vocsmooth/views": (2.3, "what people see of a dataset"),
    "vocsmooth/shards": (2.1, "what lies on disk: format, writer, reader"),
    "vocsmooth/images": (1.05, "image files: found, read, written"),
    "vocsmooth/operators": (0.0, "smoothing operators, in Python and C"),
    "vocsmooth/workers": (1.6, "tasks in processes or on a cluster"),
    "vocsmooth": (1.2, "the ground: arrays, errors, files, settings"),
    "csgisnet/training": (5.0, "from dataset and config to checkpoints"),
    "csgisnet/preview": (6.1, "a local page to try everything on a picture"),
    "csgisnet/evaluation": (4.0, "any smoother, measured and reported"),
    "csgisnet/prediction": (5.0, "smooths images of any size"),
    "csgisnet/objective": (6.0, "what training minimises; teachers"),
    "csgisnet/checkpoints": (5.4, "files of weights and states"),
    "csgisnet/networks": (6.0, "modules; they touch no files"),
    "csgisnet": (4.8, "the ground: device, errors, configs, models"),
}
"""Column and job of every wing; a package's own name is its ground, the files directly in it."""

COLOURS = {
    "cli": ("#f3f4f6", "#6b7280"),
    "vocsmooth": ("#e8f1fb", "#2563a8"),
    "csgisnet": ("#fdf1e3", "#b45f06"),
}
"""Fill and line of the boxes of a package."""

COLUMN, ROW, WIDTH, HEIGHT, MARGIN = 192, 122, 178, 74, 24


def read_imports(root: Path = ROOT) -> dict[str, set[str]]:
    """Return the wings that each wing imports, in functions too; faces (`__init__`) do not count.

    Raises
    ------
    ValueError
        A folder of code is not in `WINGS`.
    """
    imports: dict[str, set[str]] = {wing: set() for wing in WINGS}
    for path in _files(root):
        if path.name == "__init__.py":
            continue
        wing = _wing(path.relative_to(root).parts[:-1])
        for name in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            if name.split(".")[0] in COLOURS:
                imports[wing].add(_wing(tuple(name.split("."))))
    return {wing: found - {wing} for wing, found in imports.items()}


def count_files(root: Path = ROOT) -> dict[str, int]:
    """Return the number of Python files of each wing, `__init__` not counted."""
    wings = [
        _wing(path.relative_to(root).parts[:-1]) for path in _files(root) if path.stem[0] != "_"
    ]
    return {wing: wings.count(wing) for wing in WINGS}


def _files(root: Path) -> Iterator[Path]:
    """Yield every Python file of the packages."""
    for package in COLOURS:
        yield from sorted((root / package).rglob("*.py"))


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports absolutely."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _wing(parts: tuple[str, ...]) -> str:
    """Return the wing of a folder or of a dotted name, given in parts."""
    wing = "/".join(parts[:2])
    if wing in WINGS:
        return wing
    if any(path.stem != "__init__" for path in (ROOT / wing).glob("*.py")) and len(parts) > 1:
        raise ValueError(f"The wing {wing} is missing in WINGS of docs/architecture.py.")
    return parts[0]  # a file in the ground, or a folder of data such as csgisnet/configs


def reach(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return every wing that a wing leads to, directly or through others.

    Raises
    ------
    ValueError
        The wings import each other in a circle.
    """
    found: dict[str, set[str]] = {}

    def visit(wing: str, above: tuple[str, ...]) -> set[str]:
        if wing in above:
            circle = " -> ".join([*above[above.index(wing) :], wing])
            raise ValueError(f"Wings import each other in a circle: {circle}.")
        if wing not in found:
            below = [visit(other, (*above, wing)) for other in sorted(imports[wing])]
            found[wing] = imports[wing].union(*below)
        return found[wing]

    for wing in imports:
        visit(wing, ())
    return found


def direct(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out what a wing also reaches through another one that it imports."""
    far = reach(imports)
    return {
        wing: {one for one in found if not any(one in far[other] for other in found)}
        for wing, found in imports.items()
    }


def rows(imports: dict[str, set[str]]) -> dict[str, int]:
    """Return each wing's row from below: above all that it imports, a leaf just below its users."""
    far = reach(imports)
    row: dict[str, int] = {}
    for wing in sorted(imports, key=lambda name: len(far[name])):
        row[wing] = 1 + max((row[other] for other in imports[wing]), default=-1)
    for wing, found in imports.items():
        users = [row[other] for other in imports if wing in imports[other]]
        if not found and users:
            row[wing] = min(users) - 1
    return row


def draw(root: Path = ROOT) -> str:
    """Return the picture as SVG."""
    imports, counts = read_imports(root), count_files(root)
    row, arrows = rows(imports), direct(imports)
    top = max(row.values())
    centre = {
        wing: (
            round(MARGIN + WIDTH / 2 + column * COLUMN),
            round(MARGIN + HEIGHT / 2 + (top - row[wing]) * ROW),
        )
        for wing, (column, _) in WINGS.items()
    }
    width = max(x for x, _ in centre.values()) + WIDTH // 2 + MARGIN
    height = MARGIN * 2 + HEIGHT + top * ROW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="Helvetica, Arial, sans-serif" '
        'role="img">',
        "<title>The wings of vocsmooth and csgisnet, and which imports which</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0.5 8 4 0 7.5Z" fill="#9aa1ab"/></marker>'
        "</defs>",
        f'<rect width="{width}" height="{height}" rx="12" fill="#ffffff"/>',
        '<g fill="none" stroke="#9aa1ab" stroke-width="1.6" marker-end="url(#tip)">',
        *_draw_arrows(arrows, centre),
        "</g>",
        *(line for wing in WINGS for line in _draw_box(wing, counts[wing], centre[wing])),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _draw_arrows(arrows: dict[str, set[str]], centre: dict[str, tuple[int, int]]) -> Iterator[str]:
    """Yield a curve from the bottom of each wing to the top of what it imports."""
    users = {w: {user for user, found in arrows.items() if w in found} for w in arrows}
    for wing, found in arrows.items():
        for other in sorted(found):
            x, y = _port(wing, other, found, centre), centre[wing][1] + HEIGHT // 2
            to_x = _port(other, wing, users[other], centre)
            to_y = centre[other][1] - HEIGHT // 2 - 2
            bend = max(26, (to_y - y) // 2)
            yield f'<path d="M{x} {y}C{x} {y + bend} {to_x} {to_y - bend} {to_x} {to_y}"/>'


def _port(wing: str, other: str, others: set[str], centre: dict[str, tuple[int, int]]) -> int:
    """Return where on a side of `wing` the arrow of `other` begins or ends, from left to right."""
    order = sorted(others, key=lambda name: (centre[name], name))
    return round(centre[wing][0] + (order.index(other) - (len(order) - 1) / 2) * 34)


def _draw_box(wing: str, count: int, centre: tuple[int, int]) -> Iterator[str]:
    """Yield a wing's box: its name, its files, its job."""
    fill, line = COLOURS[wing.split("/", maxsplit=1)[0]]
    left, top = centre[0] - WIDTH // 2, centre[1] - HEIGHT // 2
    name = wing if wing == "cli" else wing.rsplit("/", maxsplit=1)[-1] + "/"
    dashes = "" if "/" in wing else ' stroke-dasharray="5 3"'
    yield (
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{fill}" '
        f'stroke="{line}" stroke-width="1.4"{dashes}/>'
    )
    yield (
        f'<text x="{left + 10}" y="{top + 23}" font-size="15" font-weight="bold" '
        f'fill="{line}">{escape(name)}</text>'
    )
    yield (
        f'<text x="{left + WIDTH - 10}" y="{top + 23}" font-size="11" text-anchor="end" '
        f'fill="#6b7280">{count} files</text>'
    )
    for number, text in enumerate(wrap(WINGS[wing][1], 23)):
        yield (
            f'<text x="{left + 10}" y="{top + 44 + 16 * number}" font-size="11.5" '
            f'fill="#1f2937">{escape(text)}</text>'
        )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
