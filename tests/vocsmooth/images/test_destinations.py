"""Where results go: planned and checked before anything is smoothed."""

from pathlib import Path

import pytest
from pictures import write_plain

from vocsmooth.errors import InputError, UnknownNameError
from vocsmooth.images.destinations import Task, plan


def pairs(tasks: list[Task], photos: Path, out: Path) -> dict[str, str]:
    return {str(t.source.relative_to(photos)): str(t.destination.relative_to(out)) for t in tasks}


def test_a_folder_is_mirrored_in_a_fixed_order(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tasks = plan([photos], out)
    assert pairs(tasks, photos, out) == {
        "Urlaub à Orléans/日本 1.tif": "Urlaub à Orléans/日本 1.tif",
        "a.jpg": "a.jpg",
        "b.PNG": "b.PNG",
        "deep/er/c.webp": "deep/er/c.webp",
        "deep/frame.gif": "deep/frame.png",
    }
    assert tasks == sorted(tasks, key=lambda task: task.source)
    assert not out.exists()


def test_suffix_and_ending_name_the_results(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = pairs(plan([photos], out, suffix="_smooth", ending="WebP"), photos, out)
    assert found["deep/er/c.webp"] == "deep/er/c_smooth.webp"
    assert found["b.PNG"] == "b_smooth.webp"
    with pytest.raises(UnknownNameError, match=r"Cannot write format 'jpge'\. Did you mean 'jpg'"):
        plan([photos], out, ending="jpge")


def test_a_single_file_may_have_a_file_as_its_result(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.PNG"
    assert plan([photos / "a.jpg", photos / "a.jpg"], out) == [
        Task(source=photos / "a.jpg", destination=out)
    ]
    (task,) = plan([photos / "a.jpg"], out, edges=True)
    assert task.edges == tmp_path / "one_edges.png"
    out.mkdir()  # a folder is one, whatever its name
    (task,) = plan([photos / "a.jpg"], out)
    assert task.destination == out / "a.jpg"


@pytest.mark.parametrize(
    ("inputs", "out", "more", "message"),
    [
        (["a.jpg", "b.PNG"], "one.png", {}, "the inputs are several; give a folder"),
        ([""], "one.png", {}, "the inputs are a folder; give a folder"),
        (["nowhere.jpg"], "one.png", {}, "No file or folder"),
        (["a.jpg"], "one.gif", {}, r"cannot write files ending in '\.gif'"),
        (["a.jpg"], "one.png", {"suffix": "_s"}, "leave out suffix and format"),
        (["a.jpg"], "one.png", {"ending": "jpg"}, "leave out suffix and format"),
        (["a.jpg"], "in/a.jpg", {}, "would replace the input"),
    ],
)
def test_a_file_for_anything_else_is_refused(
    photos: Path, inputs: list[str], out: str, more: dict[str, str], message: str
) -> None:
    place = photos / out.removeprefix("in/") if out.startswith("in/") else photos.parent / out
    with pytest.raises(InputError, match=message):
        plan([photos / name for name in inputs], place, **more)  # type: ignore[arg-type]


def test_files_and_folders_mix_and_a_file_given_twice_counts_once(
    photos: Path, tmp_path: Path
) -> None:
    tasks = plan([photos / "b.PNG", photos, photos / "notes.txt"], tmp_path / "out")
    assert [task.source.name for task in tasks[:1]] == ["b.PNG"]
    assert tasks[-1].source.name == "notes.txt"
    assert len(tasks) == 6


def test_results_inside_the_input_folder_are_not_taken_for_inputs(photos: Path) -> None:
    out = photos / "smoothed"
    first = plan([photos], out)
    for task in first:
        write_plain(task.destination)
    assert plan([photos], out) == first


def test_collisions_are_refused_before_anything_is_written(photos: Path, tmp_path: Path) -> None:
    write_plain(photos / "a.png")
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"a\.jpg and .*a\.png would both write .*out/a\.png"):
        plan([photos], out, ending="png")
    write_plain(tmp_path / "more" / "a.jpg")
    with pytest.raises(InputError, match="would both write"):
        plan([photos, tmp_path / "more"], out)
    with pytest.raises(InputError, match=r"would replace the input .*choose another output folder"):
        plan([photos], photos)
    link = tmp_path / "link"
    link.symlink_to(photos)
    with pytest.raises(InputError, match="would replace the input"):
        plan([photos], link)
    assert not out.exists()


def test_useless_inputs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    out = tmp_path / "out"
    with pytest.raises(InputError, match="No inputs"):
        plan([], out)
    with pytest.raises(InputError, match=r"No file or folder .*missing\."):
        plan([tmp_path / "missing"], out)
    with pytest.raises(
        InputError, match=r"No images in .*empty; looked for files ending in .*\.png"
    ):
        plan([tmp_path / "empty"], out)
    with pytest.raises(InputError, match="is a file; the results need a folder"):
        plan([tmp_path / "empty"], tmp_path / "file")


def test_edges_collide_like_results(tmp_path: Path) -> None:
    write_plain(tmp_path / "in/a.jpg")
    write_plain(tmp_path / "in/a_edges.png")
    assert len(plan([tmp_path / "in"], tmp_path / "out")) == 2
    with pytest.raises(InputError, match=r"would both write .*out/a_edges\.png"):
        plan([tmp_path / "in"], tmp_path / "out", edges=True)


@pytest.mark.parametrize("suffix", ["/x", "a/../b", "\0"])
def test_a_suffix_that_cannot_be_part_of_a_name_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match=r"suffix .* cannot be part of a file name"):
        plan([write_plain(tmp_path / "a.png")], tmp_path / "out", suffix=suffix)


def test_another_name_of_an_input_is_not_replaced(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").hardlink_to(photos / "a.jpg")
    with pytest.raises(InputError, match="would replace the input"):
        plan([photos / "a.jpg"], out)


TWINS = [("x/A.png", "y/a.png"), ("x/\u00e9.png", "y/e\u0301.png")]


@pytest.mark.parametrize("names", TWINS)
def test_names_that_the_disk_takes_for_one_collide(
    tmp_path: Path, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [write_plain(tmp_path / "in" / name) for name in names]
    out = tmp_path / "out"
    if not (tmp_path / "IN").exists():
        assert len(plan(inputs, out)) == 2
        assert [path.name for path in tmp_path.iterdir()] == ["in"]  # nothing is left of the trial
        monkeypatch.setattr("vocsmooth.images.destinations._folds_names", lambda *_: True)
    with pytest.raises(InputError, match="would both write"):
        plan(inputs, out)
