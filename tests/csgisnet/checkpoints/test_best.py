"""The best networks of a run are kept in order, and no others."""

from pathlib import Path

from csgisnet.checkpoints.best import list_best, save_best
from csgisnet.checkpoints.networks import load_network
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

TINY = NetworkConfig(width=1, blocks=1, coarse_blocks=1, refine_blocks=1)


def test_best_are_kept_in_order(tmp_path: Path) -> None:
    network = SmoothingNetwork(TINY)
    scores = [(1, -2.0), (2, 0.5), (3, 0.25), (4, 0.5), (5, 0.1), (6, 12.0)]
    written = [save_best(tmp_path, score, step, network, keep=3) for step, score in scores]
    assert [path is not None for path in written] == [True, True, True, True, False, True]
    assert [path.name for path in list_best(tmp_path)] == [
        "best-12.000000-step000000006.safetensors",
        "best-0.500000-step000000002.safetensors",
        "best-0.500000-step000000004.safetensors",
    ]
    assert load_network(list_best(tmp_path)[0]).config == network.config
    again = save_best(tmp_path, 0.5, 4, network, keep=3)  # a resumed run repeats its last steps
    assert again == written[3]
    assert len(list_best(tmp_path)) == 3


def test_other_files_in_the_folder_of_a_run_are_left_alone(tmp_path: Path) -> None:
    others = ["best.safetensors", "best-1.0.safetensors", "state-000000001.pt"]
    for name in others:
        (tmp_path / name).touch()
    save_best(tmp_path, 1.0, 1, SmoothingNetwork(TINY), keep=1)
    save_best(tmp_path, 2.0, 2, SmoothingNetwork(TINY), keep=1)
    (best,) = list_best(tmp_path)
    assert best.name == "best-2.000000-step000000002.safetensors"
    assert {path.name for path in tmp_path.iterdir()} == {best.name, *others}
