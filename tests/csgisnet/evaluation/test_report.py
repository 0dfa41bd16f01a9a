"""Tables and page of an evaluation: complete, escaped, self-contained."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from csgisnet.evaluation.gallery import choose_cases, worst_window
from csgisnet.evaluation.measure import INPUT, MEASURES, Record, evaluate, summarise
from csgisnet.evaluation.report import FILES, write_report
from csgisnet.evaluation.samples import Sample, Samples
from csgisnet.evaluation.tables import HEADINGS, format_csv, format_markdown, summary_content

SMOOTHERS = {"<net> & co": lambda x: x * np.float32(0.9), "mean": lambda x: x * 0 + x.mean()}


def make_samples(count: int) -> Samples:
    """Samples whose inputs are further and further from their labels."""

    def read(number: int) -> Sample:
        label = np.random.default_rng(number).random((30 + number, 40, 3), dtype=np.float32)
        image = np.clip(label + np.float32(0.05 * number), 0, 1)
        edges = np.zeros(label.shape[:2], np.uint8)
        edges[:, 20] = 1
        return Sample(image, label, edges)

    return Samples(tuple(f"a/<{n}>" for n in range(count)), read)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return make_samples(5)


@pytest.fixture(scope="module")
def records(samples: Samples) -> list[Record]:
    return evaluate(SMOOTHERS, samples)


@pytest.fixture(scope="module")
def report(
    samples: Samples, records: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("report") / "new/folder"
    write_report(
        out,
        records,
        samples,
        SMOOTHERS,
        subject="<net> & co",
        about={
            "checkpoint": "<b>.pth",
            "split": "val",
            "n": 5,
            "channel_order": None,
            "tuned": {"l0": {"lam": 0.1}},
            "tuned_on": ["a", "b"],
        },
    )
    return out


def test_all_files_and_no_others_are_written(report: Path) -> None:
    assert sorted(path.name for path in report.iterdir()) == sorted(FILES)


def test_csv_has_a_line_an_image_and_smoother(report: Path, records: list[Record]) -> None:
    rows = list(csv.DictReader((report / "per_image.csv").read_text("utf-8").splitlines()))
    assert [(row["image"], row["smoother"]) for row in rows] == [
        (record.image, record.smoother) for record in records
    ]
    assert [float(row["psnr"]) for row in rows] == pytest.approx([r.psnr for r in records], 1e-5)
    undefined = format_csv([record_of("s", psnr=math.nan)]).splitlines()[1]
    assert undefined.startswith("i,s,1000,,0.5,")


def test_json_gives_definitions_conditions_and_counted_means(report: Path) -> None:
    content = json.loads((report / "summary.json").read_text(encoding="utf-8"))
    assert content["measures"] == MEASURES
    assert content["split"] == "val"
    assert list(content["smoothers"]) == [INPUT, *SMOOTHERS]
    assert content["smoothers"]["mean"]["ssim"]["images"] == 5
    (undefined,) = summarise([record_of("s", ssim=math.nan)])
    assert summary_content([undefined], {})["smoothers"]["s"]["ssim"] == {"mean": None, "images": 0}


def test_the_page_names_its_conditions(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    terms = page.partition("<summary>Conditions</summary><dl>")[2].partition("</dl>")[0]
    assert terms == (
        "<dt>checkpoint</dt><dd>&lt;b&gt;.pth</dd><dt>split</dt><dd>val</dd><dt>n</dt><dd>5</dd>"
        "<dt>tuned</dt><dd>l0: lam=0.1</dd><dt>tuned on</dt><dd>a, b</dd>"
    )


def test_markdown_is_a_table_best_first_with_definitions(records: list[Record]) -> None:
    lines = format_markdown(summarise(records)).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count(" | ") for line in table}) == 1
    levels = [float(line.split("|")[2]) for line in table[2:]]
    assert len(levels) == 3
    assert levels == sorted(levels, reverse=True)
    for measure, text in MEASURES.items():
        assert f"- {HEADINGS[measure]}: {text}" in lines


def test_worst_cases_come_first_and_none_twice(records: list[Record], samples: Samples) -> None:
    cases = choose_cases(records, samples.names, INPUT, count=2)
    assert [case.number for case in cases] == [4, 3, 0, 1]
    assert [case.reason.split()[0] for case in cases] == ["Worst", "Worst", "Best", "Best"]
    cases = choose_cases(records, samples.names, INPUT, count=9)
    assert [case.number for case in cases] == [4, 3, 2, 0, 1]
    single = choose_cases(records[:1], samples.names[:1], INPUT)
    assert [case.number for case in single] == [0]


@pytest.mark.parametrize("corner", [(0, 0), (13, 7), (33, 54)])
@pytest.mark.parametrize("side", [7, 6])
def test_the_window_shown_is_where_the_error_is_greatest(
    corner: tuple[int, int], side: int
) -> None:
    label = np.zeros((40, 61, 3), np.float32)
    result = label.copy()
    top, left = min(corner[0], 40 - side), min(corner[1], 61 - side)
    result[top : top + side, left : left + side] = 0.5
    assert worst_window(result, label, side) == (top, left, side)
    assert worst_window(result, label, 1000)[::2] == (0, 40)


class Page(HTMLParser):
    """Collects tags, and what they would load."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[bytes] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and value:
                if value.startswith("data:image/jpeg;base64,"):
                    self.images.append(base64.b64decode(value.partition(",")[2]))
                else:
                    self.links.append(value)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_holds_everything_itself(report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.links == []
    assert "script" not in page.tags
    assert "url(" not in text
    assert page.tags.count("svg") == 1
    assert len(page.images) == 5 * (1 + 2 + len(SMOOTHERS))
    for data in page.images:
        with PillowImage.open(io.BytesIO(data)) as image:
            image.load()
            assert max(image.size) <= 176
    assert "<net> & co on 5 images" in page.text
    assert "a/<4>" in page.text
    assert page.text.index("Worst cases of") < page.text.index("Best cases of")
    levels = re.findall(r"<net> & co, ([\d.]+) dB", page.text)
    assert len(levels) == 5
    assert float(levels[0]) == min(map(float, levels))


def record_of(smoother: str, **values: float) -> Record:
    plain = {"psnr": 20.0, "ssim": 0.5, "boundary_retention": 0.5, "texture_residual": 0.5}
    content = plain | {"pixels": 1000, "seconds": 0.001} | values
    return Record(image="i", smoother=smoother, **content)  # type: ignore[arg-type]
