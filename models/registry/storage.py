"""Files below one address that fsspec knows: written once, whole, and never changed. Local by default."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from models.registry.errors import StorageError

FILE_MODE = 0o640
PARTIAL = ".partial-"
"""How the names of local files begin that are still being written."""


class Storage:
    """A folder and what is below it; paths are relative to it, with / between names.

    Args:
        url: a local path, or an address such as s3://bucket/models. Other systems than the local one need fsspec's
            package for them; theirs is also the promise that a file appears whole.
    Raises:
        StorageError: nothing here knows such addresses. Each method raises it, too, when the system fails.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._system: Any
            self._system, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise StorageError(f"models cannot be stored at {url}: {error}") from error
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._system, LocalFileSystem)

    def names(self, path: str = "") -> list[str]:
        """Names in a folder, ascending; none where there is no such folder."""
        with self._guarded():
            try:
                found = self._system.ls(self._at(path), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        names = {str(each).rstrip("/").rpartition("/")[2] for each in found}
        return sorted(name for name in names if name and not name.startswith("."))

    def exists(self, path: str) -> bool:
        with self._guarded():
            return bool(self._system.exists(self._at(path)))

    def read(self, path: str, most: int) -> bytes:
        """The first `most` bytes of a file. Raises FileNotFoundError."""
        with self._guarded():
            content: bytes = self._system.cat_file(self._at(path), start=0, end=most)
            return content

    def create(self, path: str, content: bytes) -> None:
        """Make a file, which is seen whole or not at all. Raises FileExistsError when there is one already."""
        with self._guarded():
            if self._local:
                _create(Path(self._at(path)), content)
            else:
                self._system.pipe_file(self._at(path), content, mode="create")

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all in it; nothing happens when there is none."""
        with self._guarded():
            try:
                self._system.rm(self._at(path), recursive=True)
            except FileNotFoundError:
                return

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, FileExistsError):
            raise
        except (OSError, NotImplementedError) as error:
            raise StorageError(f"{self.url}: {error}") from error


def _create(path: Path, content: bytes) -> None:
    """The local file is written beside its place, then linked there, which fails where one is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), FILE_MODE)
            os.fsync(file.fileno())
        os.link(partial, path)
    finally:
        os.unlink(partial)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
