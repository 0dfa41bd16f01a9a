"""Datasets in object stores: the real clients, and servers that speak as the clouds do."""

from pathlib import Path
from typing import Any

import pytest
from datasets_compared import assert_equal

from vocsmooth.errors import DatasetError
from vocsmooth.shards import open_dataset, remote


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE", 0.0)


def test_every_pixel_from_s3(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        files = s3fs.S3FileSystem(skip_instance_cache=True)
        files.mkdir("bucket")
        files.put(str(dataset), "bucket/voc-smooth", recursive=True)
        assert_equal("s3://bucket/voc-smooth", dataset)
        with pytest.raises(DatasetError, match=r"s3://bucket/none/index\.json: not found"):
            open_dataset("s3://bucket/none")
    finally:
        server.stop()


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
