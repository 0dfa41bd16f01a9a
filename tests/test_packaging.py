"""What is distributed is whole, has the right name, and its description leads somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"

REPOSITORY = "https://host.example/owner/name"

_PACKAGED = (".py", ".toml", ".txt", ".typed", ".html", ".css", ".js", ".md", ".safetensors")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what git does not ignore."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    copy = tmp_path_factory.mktemp("source")
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


def build_wheel(source: Path, folder: Path, **variables: str) -> Path:
    """Build a wheel of a copy, which the build may fill, and return it."""
    copy = shutil.copytree(source, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    environment = os.environ | variables
    subprocess.run([*command, "-q", "-w", folder, copy], check=True, env=environment)
    (wheel,) = folder.glob("*.whl")
    return wheel


def description(wheel: Path) -> str:
    """Return the page that the package index shows."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.read(name).decode().partition("\n\n")[2]


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel as every machine with a compiler builds it."""
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def plain_wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built without a compiler, of a project whose repository is named."""
    copy = shutil.copytree(source, tmp_path_factory.mktemp("plain") / "source")
    project = copy / "pyproject.toml"
    urls = f'[project.urls]\nRepository = "{REPOSITORY}"\n\n[project.scripts]'
    project.write_text(project.read_text().replace("[project.scripts]", urls))
    return build_wheel(copy, tmp_path_factory.mktemp("wheel"), CC="/bin/false")


def test_one_wheel_with_kernels_serves_every_python(wheel: Path, wheel_names: set[str]) -> None:
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("free-threaded Pythons have no stable interface")
    compiled = sorted(name for name in wheel_names if ".abi3." in name)
    if not compiled:
        pytest.skip("needs a C compiler")
    assert re.fullmatch(r"csgisnet-[\d.]+-cp310-abi3-\w+\.whl", wheel.name)
    folders = ("operators/_kernels", "shards/_native")
    assert compiled == [f"vocsmooth/{name}.abi3.so" for name in folders]


def test_a_wheel_without_kernels_serves_every_machine(plain_wheel: Path) -> None:
    assert plain_wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(plain_wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]


def test_a_wheel_with_some_kernels_is_for_its_machine(source: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "copy")
    (copy / "vocsmooth/operators/csrc/module.c").write_text("#error\n")
    wheel = build_wheel(copy, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".so")]
    assert not [name for name in compiled if "operators" in name]
    assert wheel.name.endswith("-any.whl") == (not compiled)


def test_the_description_leads_to_the_repository(plain_wheel: Path) -> None:
    text = description(plain_wheel)
    targets = re.findall(r"!?\[[^]]*\]\(([^)]+)\)", text)
    assert len(targets) > 10
    for target in targets:
        kind, _, path = target.removeprefix(f"{REPOSITORY}/").partition("/HEAD/")
        assert kind in ("raw", "blob"), target
        assert (ROOT / path.partition("#")[0]).exists(), target
    assert f"![Every operator on one photograph]({REPOSITORY}/raw/HEAD/benchmarks/" in text


def test_a_description_without_a_repository_has_no_links(wheel: Path) -> None:
    text = description(wheel)
    assert not re.search(r"\]\((?!\w+:)", text)
    assert "docs/architecture.md" in text
    snippets = [re.findall(r"^```.*?^```", t, re.M | re.S) for t in (text, README.read_text())]
    assert snippets[0] == snippets[1]


def test_the_source_distribution_holds_every_tracked_file(
    source: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Tests with what they share, and all that the README points to."""
    before = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    folder = tmp_path_factory.mktemp("sdist")
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    left_out = {".gitignore"}
    assert before - names - left_out == set()


CONDA_NAMES = {"opencv-contrib-python": "py-opencv", "torch": "pytorch"}


def test_the_conda_recipe_needs_what_the_package_needs() -> None:
    yaml: Any = pytest.importorskip("yaml")
    recipe = yaml.safe_load((ROOT / "conda/recipe.yaml").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (block,) = re.findall(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    needed = [re.split("(?=>=)", text.partition(";")[0]) for text in re.findall(r'"(.+)"', block)]
    assert len(needed) > 10
    wanted = {" ".join((CONDA_NAMES.get(name, name), bound)) for name, bound in needed}
    (python,) = re.findall(r'^requires-python = "(.+)"', project, re.MULTILINE)
    assert set(recipe["requirements"]["run"]) == wanted | {f"python {python}"}
    assert f'version = "{recipe["context"]["version"]}"' in project
    for entry in recipe["build"]["python"]["entry_points"]:
        assert '{} = "{}"'.format(*entry.split(" = ")) in project


@pytest.mark.parametrize("platform", ["linux-64", "linux-aarch64", "osx-arm64", "win-64"])
def test_rattler_build_understands_the_conda_recipe(platform: str) -> None:
    """As far as without channels: what it asks of conda on each platform."""
    rattler: Any = pytest.importorskip("rattler_build")
    machine = rattler.PlatformConfig(
        target_platform=platform, build_platform=platform, host_platform=platform
    )
    variants = rattler.VariantConfig.from_file_with_context(
        ROOT / "conda/variants.yaml", rattler.JinjaConfig(platform=machine)
    )
    recipe = rattler.Stage0Recipe.from_file(ROOT / "conda/recipe.yaml")
    (rendered,) = recipe.render(variants, rattler.RenderConfig(platform=machine))
    compiler, library = rendered.recipe.to_dict()["requirements"]["build"]
    assert compiler.endswith(f"_{platform}")
    assert f"_{platform} " in library


def test_every_file_of_the_packages_is_in_the_wheel(wheel_names: set[str]) -> None:
    folders = {"vocsmooth": "vocsmooth", "csgisnet": "csgisnet", "cli": "vocsmooth_cli"}
    folders |= {"manifests": "vocsmooth/manifests"}
    for folder, installed in folders.items():
        for path in (ROOT / folder).glob("**/*"):
            if path.suffix in _PACKAGED:
                assert f"{installed}/{path.relative_to(ROOT / folder)}" in wheel_names


def test_the_wheel_installs_no_other_top_level_name(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "vocsmooth",
        "csgisnet",
        "vocsmooth_cli",
    }
