"""Datasets behind URLs: every pixel, and one clear error for whatever a server may do."""

import hashlib
import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from datasets_compared import MAPS, assert_equal, assert_same
from file_server import Server
from helpers import make_version1

from vocsmooth.errors import DatasetError, InputError
from vocsmooth.shards import Split, open_dataset, remote
from vocsmooth.shards.fetching import ShardFetcher
from vocsmooth.shards.index import index_files, read_index
from vocsmooth.shards.table import encode_table


@pytest.fixture
def server(dataset: Path) -> Iterator[Server]:
    pytest.importorskip("aiohttp")
    with Server(dataset) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE", 0.0)


def total(split: Split) -> int:
    """Read in another process."""
    return sum(int(split.read(i, ["input"])["input"].sum(dtype=int)) for i in range(len(split)))


READER = """
import sys
from vocsmooth.errors import DatasetError
from vocsmooth.shards import open_dataset, remote
split = open_dataset(sys.argv[1]).split("train")
remote._PATIENCE = float(sys.argv[2])
print("reading", flush=True)
try:
    split.crop([0, 1], [0, 0], [0, 0], 8, ["edge", "label"])
except DatasetError as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize("end", ["interrupted", "given up"])
def test_a_server_that_never_answers_does_not_keep_python_from_ending(
    server: Server, end: str
) -> None:
    server.fault = "silent"
    patience = "600" if end == "interrupted" else "0.2"
    line = [sys.executable, "-c", READER, server.url, patience]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "reading\n"
        if end == "interrupted":
            while not any(path.endswith(".h5") for path, _ in server.asked):
                assert run.poll() is None
            run.send_signal(signal.SIGINT)
        try:
            out, err = run.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            run.kill()
            pytest.fail("it went on waiting")
    if end == "interrupted":
        assert "KeyboardInterrupt" in err
    else:
        assert "the server did not answer within 0.2 seconds" in out


def test_every_pixel_from_an_object_store_in_memory(dataset: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").put(str(dataset), "/remote-test", recursive=True)
    assert_equal("memory://remote-test/", dataset)
    fsspec.filesystem("memory").rm("/remote-test", recursive=True)
    with pytest.raises(DatasetError, match=r"remote-test/index\.json: not found"):
        open_dataset("memory://remote-test")


def test_local_paths_do_not_import_fsspec(dataset: Path) -> None:
    code = (
        "import sys; from vocsmooth.shards import open_dataset; "
        f"open_dataset({str(dataset)!r}).split('train')[0]; sys.exit('fsspec' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_scheme_that_there_is_not() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(InputError, match="nonesuch://bucket/data cannot be read: Protocol"):
        open_dataset("nonesuch://bucket/data")


class TestWebServer:
    def test_every_pixel(self, server: Server, dataset: Path) -> None:
        assert_equal(server.url, dataset)

    def test_every_pixel_with_an_index_of_version_1(self, server: Server, dataset: Path) -> None:
        make_version1(dataset)
        assert_equal(server.url, dataset)

    def test_the_index_is_read_once_and_of_shards_only_ranges(self, server: Server) -> None:
        split = open_dataset(server.url).split("train")
        split.crop([0, 1], [0, 0], [0, 0], 8, ["edge"])
        paths = [path for path, _ in server.asked]
        assert paths.count("/index.json") == paths.count("/index.hdf5") == 1
        assert set(paths) == {"/index.json", "/index.hdf5", "/train-00000.h5"}
        assert all(asked for _, asked in server.asked)

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_other_processes_read_the_same(
        self, server: Server, dataset: Path, method: str
    ) -> None:
        split = open_dataset(server.url).split("train")
        expected = total(split)  # and so the connections of this process are in use
        assert expected == total(open_dataset(dataset).split("train"))
        assert total(pickle.loads(pickle.dumps(split))) == expected
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply_async(total, (split,)).get(60) == expected

    @pytest.mark.parametrize("fault", ["error", "short", "cut off"])
    def test_faults_that_pass_are_not_noticed(
        self, server: Server, dataset: Path, fault: str
    ) -> None:
        server.fault, server.failures = fault, 2
        split = open_dataset(server.url).split("val")
        assert_same(split[0], open_dataset(dataset).split("val")[0])

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("error", "after 3 attempts: .*503"),
            ("short", r"after 3 attempts: .*only \d+ of \d+ bytes came"),
            ("cut off", "after 3 attempts: "),
            ("no ranges", "the server ignores ranges"),
        ],
    )
    def test_faults_that_stay_are_one_error(
        self, server: Server, dataset: Path, fault: str, message: str
    ) -> None:
        split = open_dataset(server.url).split("val")
        expected = open_dataset(dataset).split("val")[1]
        split.read(0, ["edge"])  # the tables are read
        server.fault = fault
        with pytest.raises(DatasetError, match=message) as caught:
            split.read(1, MAPS)
        assert f"{server.url}/val-00000.h5" in str(caught.value)
        server.fault = ""
        assert_same(split[1], {name: expected[name] for name in split[1]})

    def test_a_server_that_does_not_answer_is_given_up(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        split = open_dataset(server.url).split("val")
        split.read(0, ["edge"])
        monkeypatch.setattr(remote, "_PATIENCE", 0.2)
        server.fault, server.failures = "slow", 1
        with pytest.raises(DatasetError, match=r"did not answer within 0\.2 seconds"):
            split.read(1, ["label"])

    def test_a_shard_of_another_length(self, server: Server, dataset: Path) -> None:
        with (dataset / "val-00000.h5").open("ab") as file:
            file.write(b"x")
        with pytest.raises(DatasetError, match=r"val-00000\.h5 has \d+ bytes, but the index says"):
            open_dataset(server.url).split("val")[0]

    def test_a_shard_that_is_damaged(self, server: Server, dataset: Path) -> None:
        path = dataset / "val-00000.h5"
        path.write_bytes(bytes(path.stat().st_size))
        with pytest.raises(DatasetError, match=r"http.*val-00000\.h5 cannot be read as HDF5"):
            open_dataset(server.url).split("val")[0]

    def test_an_index_that_is_damaged(self, server: Server, dataset: Path) -> None:
        (dataset / "index.json").write_text("{")
        with pytest.raises(DatasetError, match=r"http.*/index\.json is damaged"):
            open_dataset(server.url)

    @pytest.mark.parametrize("damage", ["flipped", "cut", "longer"])
    def test_a_table_that_is_damaged(self, server: Server, dataset: Path, damage: str) -> None:
        path = dataset / "index.hdf5"
        data = path.read_bytes()
        flipped = data[:-1] + bytes([data[-1] ^ 1])
        path.write_bytes({"flipped": flipped, "cut": data[:-1], "longer": data + b"x"}[damage])
        with pytest.raises(DatasetError, match=rf"http.*/index\.hdf5 is damaged.* {len(data)} byt"):
            open_dataset(server.url)

    def test_a_table_that_is_missing(self, server: Server, dataset: Path) -> None:
        (dataset / "index.hdf5").unlink()
        with pytest.raises(DatasetError, match=r"http.*/index\.hdf5: not found"):
            open_dataset(server.url)

    @pytest.mark.parametrize("name", ["index.json", "index.hdf5"])
    @pytest.mark.parametrize("fault", ["error", "short", "cut off"])
    def test_faults_of_the_index(
        self, server: Server, dataset: Path, fault: str, name: str
    ) -> None:
        server.fault, server.faulty, server.failures = fault, name, 2
        assert_same(open_dataset(server.url).split("val")[0], open_dataset(dataset).split("val")[0])
        server.failures = 1_000_000
        with pytest.raises(DatasetError, match=f"http.*/{name}.* after 3 attempts"):
            open_dataset(server.url)

    def test_another_dataset_in_its_place_is_noticed(self, server: Server, dataset: Path) -> None:
        pickled = pickle.dumps(open_dataset(server.url).split("val"))
        index = read_index(dataset)
        columns = replace(index.columns, sha256=index.columns.sha256[::-1])
        table = bytes(encode_table(columns))
        entry = replace(index.table, sha256=hashlib.sha256(table).hexdigest())
        other = replace(index, columns=columns, table=entry)
        for name, data in index_files(other).items():
            (dataset / name).write_bytes(data)
        with pytest.raises(DatasetError, match=r"http.* holds another dataset than when"):
            pickle.loads(pickled)

    def test_shards_are_not_fetched_as_a_whole(self, server: Server) -> None:
        split = open_dataset(server.url).split("train")
        split.read(0, ["edge"])
        before = len(server.asked)
        ShardFetcher(split, MAPS, 1).fetch([0])
        assert len(server.asked) == before
        with pytest.raises(ValueError, match="no map 'lable'"):
            ShardFetcher(split, ["lable"], 1).fetch([0])
