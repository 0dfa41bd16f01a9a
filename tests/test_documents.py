"""The documents: links lead somewhere, named definitions exist, snippets run, YAML parses."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csgisnet.training.config import load_config
from vocsmooth.dataset.build import build_dataset
from vocsmooth.maps.recipe import Labels, Operator, Recipe, load_recipe
from vocsmooth.maps.texture_settings import Textures

ROOT = Path(__file__).resolve().parents[1]

DOCUMENTS = [
    ROOT / name
    for name in (
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        ".github/CONTRIBUTING.md",
        "docs/architecture.md",
        "csgisnet/models/README.md",
        "integrations/comfyui/README.md",
    )
]

YAML = sorted(
    [
        *ROOT.glob(".github/**/*.yml"),
        ROOT / ".pre-commit-config.yaml",
        ROOT / "conda/recipe.yaml",
        ROOT / "conda/variants.yaml",
    ]
)

LINK = re.compile(r"\[([^]]*)\]\(([^)\s]+)\)")


def links() -> list[Any]:
    """Every link of every document that is not a web address."""
    return [
        pytest.param(path, words, target, id=f"{path.name}: {words} -> {target}")
        for path in DOCUMENTS
        for words, target in LINK.findall(
            re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        )
        if "://" not in target
    ]


@pytest.mark.parametrize(("path", "words", "target"), links())
def test_links_lead_to_files_and_headings(path: Path, words: str, target: str) -> None:
    name, _, heading = target.partition("#")
    file = path.parent / name if name else path
    assert file.exists()
    if heading:
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
        assert heading in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]
    if file.suffix in (".py", ".toml"):
        content = file.read_text(encoding="utf-8")
        for word in re.findall(r"`(\w+)`", words):
            assert re.search(rf"\b{word}\b", content), f"{target} does not define {word}"


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.name == "architecture.md"])
def test_functions_named_behind_a_file_are_in_it(path: Path) -> None:
    steps = re.findall(r"^\d\. (.*?)(?=^\d\. |^#|\Z)", path.read_text(), re.MULTILINE | re.DOTALL)
    assert len(steps) > 15
    for step in steps:
        found = [*LINK.finditer(step)]
        ends = [*(link.start() for link in found[1:]), len(step)]
        for link, end in zip(found, ends, strict=True):
            file = path.parent / link.group(2)
            if file.suffix == ".py":
                for word in re.findall(r"`([A-Za-z_]\w+)`", step[link.end() : end]):
                    assert re.search(rf"\b{word}\b", file.read_text()), f"{file.name}: no {word}"


PAGES = sorted((ROOT / "docs/pages").glob("*.md"))


def snippets_of(path: Path) -> list[str]:
    """Return the Python snippets of a document."""
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def test_the_readme_has_its_snippets() -> None:
    assert len(snippets_of(ROOT / "README.md")) == 1
    assert len(snippets_of(ROOT / "docs/pages/format.md")) == 1


@pytest.fixture(scope="module")
def folder_with_dataset(pristine_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which `voc-smooth` is a dataset."""
    folder = tmp_path_factory.mktemp("reader")
    guided = Labels(fixed=Operator(operator="guided"))
    recipe = Recipe(labels=guided, ids=("a_1",), textures=Textures(count=2))
    build_dataset(pristine_tree, folder / "voc-smooth", recipe, splits=("train",), jobs=1)
    return folder


@pytest.mark.parametrize(
    ("name", "snippet"),
    [
        pytest.param(path.name, snippet, id=f"{path.name}-{number}")
        for path in [ROOT / "README.md", *PAGES]
        for number, snippet in enumerate(snippets_of(path))
    ],
)
def test_snippets_run(
    name: str, snippet: str, folder_with_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder_with_dataset)
    names: dict[str, Any] = {}
    exec(compile(snippet, name, "exec"), names)
    for result in ("same", "learnt", "portrait", "label"):
        assert np.isfinite(names.get(result, 0)).all()


def test_recipes_and_configurations_on_the_pages_are_valid(tmp_path: Path) -> None:
    blocks = {
        path.name: re.findall(r"^```toml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        for path in PAGES
    }
    (recipe,), (config,) = blocks.pop("dataset.md"), blocks.pop("training.md")
    assert not any(blocks.values())
    (tmp_path / "recipe.toml").write_text(recipe)
    (tmp_path / "config.toml").write_text(config)
    assert load_recipe(tmp_path / "recipe.toml").textures.count == 4
    assert load_config(tmp_path / "config.toml").run.steps == 20000


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links, anchors and names of the reference are found; pages load nothing from elsewhere."""
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    command += ["--config-file", str(ROOT / "docs/mkdocs.yml"), "--site-dir", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) >= len(PAGES) + 3
    for page in pages:
        loaded = re.findall(
            r'<(?:script|img|link)[^>]*(?:src|href)="(https?://[^"]*)', page.read_text()
        )
        assert loaded == [], page
    reference = (tmp_path / "reference/networks.html").read_text()
    (row,) = re.findall(r"<code>views</code>(.*?)</tr>", reference, re.DOTALL)[:1]
    # Described in one line with others, of which the first is a str.
    assert [re.sub("<.*?>", "", cell) for cell in re.findall(r"<code>.*?</code>", row)] == [
        "int",
        "Smoother",
        "1",
    ]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks/results").glob("*.json")), ids=lambda path: path.name
)
def test_results_name_no_paths_of_one_machine(path: Path) -> None:
    words = re.findall(r"[^\s'\"=]+", path.read_text(encoding="utf-8"))
    assert [word for word in words if word.startswith(("../", "~")) or re.match(r"/\w", word)] == []


def test_the_glossary_is_complete() -> None:
    text = (ROOT / "docs/pages/format.md").read_text()
    rows = text.partition("## Glossary")[2].partition("##")[0]
    words = re.findall(r"^\| (\w+) \|", rows, re.MULTILINE)[1:]
    assert words[:7] == ["photograph", "mask", "label", "texture", "input", "negative", "edge"]
    assert words[7:] == ["map", "sample", "shard", "part", "plan", "sidecar", "index"]


@pytest.mark.parametrize("path", [*YAML, ROOT / "CITATION.cff"], ids=lambda path: path.name)
def test_yaml_parses(path: Path) -> None:
    yaml: Any = pytest.importorskip("yaml")
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_the_workflow_tests_every_python_that_the_package_supports() -> None:
    yaml: Any = pytest.importorskip("yaml")
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    minors = [int(version.split(".")[1]) for version in versions]
    assert all(after - before == 1 for before, after in pairwise(minors))
    project = (ROOT / "pyproject.toml").read_text()
    assert f'requires-python = ">=3.{minors[0]}"' in project
    listed = re.findall(r"Python :: 3\.(\d+)", project)
    assert [int(minor) for minor in listed] == minors
    for path in (ROOT / "README.md", ROOT / ".github/CONTRIBUTING.md"):
        assert f"Python 3.{minors[0]} to 3.{minors[-1]}" in path.read_text()


def test_the_citation_names_version_and_licence() -> None:
    yaml: Any = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text()
    assert citation["cff-version"] == "1.2.0"
    assert f'version = "{citation["version"]}"' in project
    assert f'license = "{citation["license"]}"' in project
    assert citation["references"][0]["year"] == 2022
