"""What a tally counts, and that a build never fails for it."""

from pathlib import Path

from vocsmooth.dataset.tally import Tally


def test_counts_each_photograph_once_in_any_order(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    tally.begin()
    assert tally.count() == 0
    for number in (7, 2, 7):
        tally.tick(number)
    assert tally.count() == 2
    tally.tick(0, 5)
    assert tally.count() == 6
    for number, expected in ((5, 7), (9, 8), (6, 9), (8, 10), (8, 10)):
        tally.tick(number)
        assert tally.count() == expected
    tally.begin()
    assert tally.count() == 0


def test_goes_on_without_its_file(tmp_path: Path) -> None:
    gone, impossible = Tally(tmp_path / "gone"), Tally(tmp_path / "no" / "folder")
    gone.tick(1)
    assert not gone.path.exists()  # one that was removed is not made again
    impossible.begin()
    impossible.tick(0)
    assert gone.count() == impossible.count() == 0
