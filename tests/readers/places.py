"""Where lakes are: folders of this machine, or prefixes of a bucket in S3."""

import os
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

from pyarrow import fs

ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
REGION = "eu-west-1"
SECRET = "test"  # LocalStack takes any


def place(location: str) -> "Path | S3Path":
    """The file or folder at `s3://bucket/key`, `file:///path` or `/path`."""
    if location.startswith("s3://"):
        return S3Path(PurePosixPath(location.removeprefix("s3://")))
    return Path(unquote(urlparse(location).path))


class S3Path:
    """As much of a `Path` as reading a lake takes."""

    _store = None

    def __init__(self, path: PurePosixPath):
        self._path = path

    @classmethod
    def store(cls) -> fs.S3FileSystem:
        if cls._store is None:
            cls._store = fs.S3FileSystem(
                access_key=SECRET, secret_key=SECRET, endpoint_override=ENDPOINT, region=REGION
            )
        return cls._store

    def __truediv__(self, name: str) -> "S3Path":
        return S3Path(self._path / name)

    def __str__(self) -> str:
        return f"s3://{self._path}"

    @property
    def name(self) -> str:
        return self._path.name

    @property
    def parent(self) -> "S3Path":
        return S3Path(self._path.parent)

    def iterdir(self) -> "list[S3Path]":
        selector = fs.FileSelector(str(self._path))
        return [S3Path(PurePosixPath(it.path)) for it in self.store().get_file_info(selector)]

    def glob(self, pattern: str) -> "list[S3Path]":
        selector = fs.FileSelector(str(self._path), recursive=True)
        found = (PurePosixPath(it.path) for it in self.store().get_file_info(selector))
        within = (path for path in found if path.relative_to(self._path).match(pattern))
        depth = len(self._path.parts) + pattern.count("/") + 1
        return [S3Path(path) for path in within if len(path.parts) == depth]

    def is_file(self) -> bool:
        return self.store().get_file_info(str(self._path)).is_file

    def stat(self) -> SimpleNamespace:
        return SimpleNamespace(st_size=self.store().get_file_info(str(self._path)).size)

    def open(self, mode: str = "rb"):
        assert mode == "rb"
        return self.store().open_input_file(str(self._path))

    def read_text(self) -> str:
        with self.open() as file:
            return file.read().decode()
