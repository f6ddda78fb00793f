"""Objects as files of a folder: the archive of `file://`, and of those who install nothing.

A file is written beside its place, made durable, and then linked to its name: it is there whole or
not at all, and of two writers of one name one wins. Nothing outside the folder is ever touched.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from archival.settings import FileSettings
from archival.store import Entry, Missing
from schemas.errors import InvalidArgument, Unavailable

UNFINISHED: Final = "millrace/unfinished"
"""Folder of the files that are being written; what a crash leaves there means nothing."""

_PIECE_BYTES: Final = 1 << 20


class Disk:
    """The steps of a write, one by one: tests stop at each."""

    def create(self, path: Path, mode: int) -> BinaryIO:
        """Open a new file."""
        opener = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        return os.fdopen(opener, "wb")

    def write(self, file: BinaryIO, piece: bytes) -> None:
        """Write a piece."""
        file.write(piece)

    def flush(self, file: BinaryIO) -> None:
        """Make a file's bytes durable."""
        file.flush()
        os.fsync(file.fileno())

    def link(self, source: Path, target: Path) -> None:
        """Give a file its name, if nothing has it."""
        os.link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file its name, in place of what had it."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        path.unlink()

    def mkdir(self, path: Path, mode: int) -> None:
        """Make a folder."""
        path.mkdir(mode)

    def flush_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


class FileStore:
    """A `store.Store` in a folder."""

    def __init__(
        self, folder: Path, settings: FileSettings | None = None, *, disk: Disk | None = None
    ) -> None:
        self._folder = folder
        settings = settings or FileSettings()
        self._file_mode = int(settings.file_mode, 8)
        self._folder_mode = int(settings.folder_mode, 8)
        self._disk = disk or Disk()

    def check(self) -> None:
        """Raise InvalidArgument if the folder is something else; it may be missing yet."""
        if self._folder.exists() and not self._folder.is_dir():
            raise InvalidArgument("a path to a directory was expected")

    def put_new(self, key: str, body: Iterable[bytes]) -> bool:
        """Write a file unless there is one; see Store."""
        target = self._path(key)
        with _explained():
            if target.exists():
                self._disk.flush_folder(target.parent)
                return False
            with self._unfinished(body) as written:
                return self._named(written, target)

    def put(self, key: str, body: Iterable[bytes]) -> None:
        """Write a file in place of the one that may be there."""
        target = self._path(key)
        with _explained(), self._unfinished(body) as written:
            self._ensure(target.parent)
            self._disk.rename(written, target)
            self._disk.flush_folder(target.parent)

    def get(self, key: str, start: int = 0, count: int = -1) -> bytes:
        """Return a file or a part of it; raises Missing."""
        with _explained(key), self._path(key).open("rb") as file:
            file.seek(start)
            return file.read(count)

    def read(self, key: str) -> Iterator[bytes]:
        """Return a file in pieces; raises Missing."""
        with _explained(key), self._path(key).open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def size(self, key: str) -> int | None:
        """Return the bytes of a file, None if there is none."""
        try:
            with _explained(key):
                return self._path(key).stat().st_size
        except Missing:
            return None

    def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Iterator[Entry]:
        """Return the files whose keys begin so, in order."""
        found = self._walk(prefix.rpartition("/")[0], prefix, after)
        for number, entry in enumerate(found, 1):
            yield entry
            if number == limit:
                return

    def folders(self, prefix: str) -> Iterator[str]:
        """Return the folders whose names begin so, without what is before them."""
        above, _, start = prefix.rpartition("/")
        for entry in self._entries(above):
            if entry.is_dir() and entry.name.startswith(start):
                yield entry.name[len(start) :]

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files; folders they leave empty stay."""
        touched = set()
        for key in keys:
            path = self._path(key)
            with _explained(), contextlib.suppress(FileNotFoundError):
                self._disk.unlink(path)
                touched.add(path.parent)
        for folder in touched:
            with _explained():
                self._disk.flush_folder(folder)

    def sweep(self) -> None:
        """Remove what crashed writers left; only when no writer is at work."""
        shutil.rmtree(self._folder / UNFINISHED, ignore_errors=True)

    def close(self) -> None:
        """Nothing is held open."""

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        assert all(part not in ("", ".", "..") and "\0" not in part for part in parts), key
        return self._folder.joinpath(*parts)

    def _entries(self, folder: str) -> Iterable[os.DirEntry[str]]:
        try:
            with os.scandir(self._path(folder) if folder else self._folder) as entries:
                return sorted(entries, key=_order)
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[Entry]:
        for entry in self._entries(folder):
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir():
                within = key + "/"
                if _may_hold(within, prefix, after) and key != UNFINISHED:
                    yield from self._walk(key, prefix, after)
            elif key.startswith(prefix) and key > after:
                stat = entry.stat()
                yield Entry(key, stat.st_size, stat.st_mtime_ns)

    @contextlib.contextmanager
    def _unfinished(self, body: Iterable[bytes]) -> Iterator[Path]:
        """Write a durable file that has no place yet."""
        room = self._folder / UNFINISHED
        self._ensure(room)
        path = room / uuid.uuid4().hex
        try:
            with self._disk.create(path, self._file_mode) as file:
                for piece in body:
                    self._disk.write(file, piece)
                self._disk.flush(file)
            yield path
        finally:
            with contextlib.suppress(OSError):
                path.unlink()

    def _named(self, written: Path, target: Path) -> bool:
        self._ensure(target.parent)
        try:
            self._disk.link(written, target)
        except FileExistsError:
            return False
        finally:
            self._disk.flush_folder(target.parent)
        return True

    def _ensure(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._ensure(folder.parent)
        with contextlib.suppress(FileExistsError):
            self._disk.mkdir(folder, self._folder_mode)
        self._disk.flush_folder(folder.parent)


@contextlib.contextmanager
def _explained(key: str = "") -> Iterator[None]:
    """Turn what the system says into our errors."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        if not key:
            raise Unavailable(f"expected to write the archive: {error}") from error
        raise Missing(key) from None
    except OSError as error:
        raise Unavailable(f"expected to reach the archive's folder: {error}") from error


def _order(entry: os.DirEntry[str]) -> str:
    return entry.name + "/" if entry.is_dir() else entry.name


def _may_hold(within: str, prefix: str, after: str) -> bool:
    """Whether keys that begin with `within` can begin with `prefix` and lie behind `after`."""
    is_below = within.startswith(prefix) or prefix.startswith(within)
    return is_below and (within > after or after.startswith(within))
