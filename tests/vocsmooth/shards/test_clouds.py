"""Datasets in object stores: the real clients, and servers that speak as the clouds do."""

import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets_compared import assert_equal
from werkzeug.serving import make_server

from vocsmooth.errors import DatasetError
from vocsmooth.shards import open_dataset, remote


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE", 0.0)


class Faulty:
    """An object store whose answers about shards go wrong, as often as a test says."""

    def __init__(self, store: Callable[..., Iterable[bytes]]) -> None:
        self.store = store
        self.fault, self.failures = "", 0

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        shard = environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith(".h5")
        fault = self.fault if shard and self.failures > 0 else ""
        self.failures -= bool(fault)
        if fault == "slow":
            time.sleep(1)
        if fault == "error":
            start_response("503 Slow Down", [("Content-Length", "0")])
            return []
        if fault not in ("short", "cut off"):
            return self.store(environ, start_response)
        head: list[Any] = []
        body = b"".join(self.store(environ, lambda *given: head.extend(given)))
        length = len(body) - (fault == "short")
        others = [(key, value) for key, value in head[1] if key.lower() != "content-length"]
        start_response(head[0], [*others, ("Content-Length", str(length))])
        return [body[:length] if fault == "short" else body[: length // 2]]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """The application of moto, which answers as S3 does."""
    moto = pytest.importorskip("moto.moto_server.werkzeug_app")
    pytest.importorskip("s3fs")
    faulty = Faulty(moto.DomainDispatcherApplication(moto.create_backend_app))
    server = make_server("127.0.0.1", 0, faulty, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield faulty
    reset = f"http://127.0.0.1:{server.server_port}/moto-api/reset"
    urllib.request.urlopen(urllib.request.Request(reset, method="POST")).close()
    server.shutdown()
    thread.join()


@pytest.fixture
def on_s3(store: Faulty, dataset: Path) -> str:
    """The URL of a copy of the dataset."""
    s3fs = pytest.importorskip("s3fs")
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    files.mkdir("bucket")
    files.put(str(dataset), "bucket/voc-smooth", recursive=True)
    return "s3://bucket/voc-smooth"


def test_every_pixel_from_s3(on_s3: str, dataset: Path) -> None:
    assert_equal(on_s3, dataset)
    with pytest.raises(DatasetError, match=r"s3://bucket/none/index\.json: not found"):
        open_dataset("s3://bucket/none")


@pytest.mark.parametrize("fault", ["error", "short", "cut off", "slow"])
def test_faults_of_s3_that_pass_are_not_noticed(
    store: Faulty, on_s3: str, dataset: Path, fault: str
) -> None:
    store.fault, store.failures = fault, 1
    assert_equal(on_s3, dataset)
    assert store.failures <= 0


@pytest.mark.parametrize("fault", ["short", "cut off"])
def test_faults_of_s3_that_stay_are_one_error(store: Faulty, on_s3: str, fault: str) -> None:
    split = open_dataset(on_s3).split("val")
    split.read(0, ["edge"])
    store.fault, store.failures = fault, 1_000
    with pytest.raises(DatasetError, match=r"s3://bucket/voc-smooth/val-00000\.h5.*after 3"):
        split.read(1, ["input", "label"])


def test_every_pixel_from_google(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    # The emulator has no gRPC, which gcsfs would ask for the type of the bucket.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs = pytest.importorskip("gcsfs")
    fsspec = pytest.importorskip("fsspec.config")
    monkeypatch.setitem(fsspec.conf, "gs", {"token": "anon"})
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    server.start()
    try:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port_of(server)}")
        files = gcsfs.GCSFileSystem(token="anon", skip_instance_cache=True)
        for path in filter(Path.is_file, dataset.rglob("*")):
            name = path.relative_to(dataset).as_posix()
            files.pipe(f"bucket/voc-smooth/{name}", path.read_bytes())
        assert_equal("gs://bucket/voc-smooth", dataset)
        with pytest.raises(DatasetError, match=r"gs://bucket/none/index\.json: not found"):
            open_dataset("gs://bucket/none")
    finally:
        server.stop()


def port_of(server: Any) -> int:
    """Return the port that the system chose."""
    port: int = server._api._httpd.server_address[1]
    return port
