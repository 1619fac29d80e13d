"""The archive's index and value files: diskcache, with bytes only, nothing evicted and everything durable.

Loading a pickle runs whatever its writer wanted (CVE-2025-69872, diskcache has no fixed release), so nothing here
ever makes or loads one. Keys say where a value lives: `seg:*` in a file of its own, all others in the index.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import weakref
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import filelock
from diskcache import Cache, Disk, Timeout
from diskcache.core import DBNAME

from alltick_frames.errors import StoreError
from alltick_frames.records import SEGMENT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "BytesDisk",
    "Index",
    "ReadOnlyIndex",
    "file_system_of",
    "is_archive",
    "open_index",
    "reported",
    "salvaged",
    "sync_directory",
]

_SEGMENT_DIRECTORY, _OPENING = "segments", "opening.lock"
# diskcache's own numbers for how a value is kept (core.py); the two others are text files and pickles.
_INLINE, _FILE = 1, 2
# Ours: SQLite has no checksums, and a bar that fell over in the index would be served. Archives made before this
# have the others' inline values.
_CHECKED = 5
_CRC_BYTES = 4
_LOCK_WAIT_S = 60
# Linux tells; elsewhere the README has to do.
_MOUNTS = Path("/proc/self/mounts")
_NETWORK_FILE_SYSTEMS = frozenset(
    {"afp", "afs", "cifs", "fuse.rclone", "fuse.sshfs", "nfs", "nfs4", "smb2", "smb3", "smbfs"}
)
_LONGEST_NAME = 180
# The last opener's settings count for all processes, so there is one set of them. Evicting is losing: off.
_SETTINGS = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    "statistics": 0,
    "tag_index": 0,
    "sqlite_journal_mode": "wal",
    # Deleted pages are used again; giving them back would move others into their place at every commit.
    "sqlite_auto_vacuum": 0,
    # FULL: a COMMIT that returned outlives a power cut too.
    "sqlite_synchronous": 2,
}
# What SQLite does not keep in the file.
_PER_CONNECTION = {"synchronous": 2, "cache_size": 2**13, "mmap_size": 2**26}


class BytesDisk(Disk):  # type: ignore[misc]  # diskcache is untyped
    """Keys are str, values are bytes; anything else is refused, above all a pickle."""

    def put(self, key: object) -> tuple[str, bool]:
        """Accept a key."""
        if type(key) is not str:
            raise StoreError(f"archive key {key!r} is a {type(key).__name__}; keys are str")
        return key, True

    def get(self, key: Any, raw: int) -> Any:
        """Give a key back; diskcache would unpickle one that is not raw."""
        if not raw:
            raise StoreError("the archive holds a pickled key, which alltick_frames never writes; it is not loaded")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, str | None, memoryview | None]:  # noqa: FBT001  # diskcache's signature
        """Keep *value* in the index, or, of a segment, in a new file that is on the disk when this returns."""
        if type(value) is not bytes or read:
            raise StoreError(f"archive entry {key!r} would be a {type(value).__name__}; values are bytes")
        if not str(key).startswith(SEGMENT_PREFIX):
            return 0, _CHECKED, None, sqlite3.Binary(zlib.crc32(value).to_bytes(_CRC_BYTES, "little") + value)
        filename, full_path = self.filename(key)
        _write_new(Path(full_path), value)
        return len(value), _FILE, filename, None

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:  # noqa: FBT001  # diskcache's signature
        """Give the bytes of an inline value, or, with *read*, the path of a value that is a file."""
        if mode == _CHECKED and type(value) is bytes and not read:
            return _checked(value)
        if mode == _INLINE and type(value) is bytes and not read:
            return value
        if mode == _FILE and filename is not None and read:
            return self._inside(filename)
        raise StoreError("is a pickle or of another foreign kind, which alltick_frames never writes; it is not loaded")

    def filename(self, key: object = None, value: object = None) -> tuple[str, str]:  # noqa: ARG002  # diskcache's signature
        """Name a segment's file after its key: a person who looks for it finds it."""
        name = quote(str(key).removeprefix(SEGMENT_PREFIX), safe="").replace("%3A", "_")[-_LONGEST_NAME:]
        filename = f"{_SEGMENT_DIRECTORY}/{name}.arrow"
        return filename, str(Path(self._directory, filename))

    def remove(self, file_path: str) -> None:
        """Unlink a file; unlike diskcache's, this leaves the directory."""
        # On Windows a mapped file cannot be removed: it stays behind, unlisted.
        with contextlib.suppress(OSError):
            self._inside(file_path).unlink()

    def _inside(self, filename: str) -> Path:
        path = Path(self._directory, filename)
        # Both: the directory itself may be named with "..".
        if os.path.dirname(os.path.normpath(path)) != os.path.normpath(Path(self._directory, _SEGMENT_DIRECTORY)):  # noqa: PTH120
            raise StoreError(f"points to {filename!r}, outside the archive's segments; it is not read")
        return path


# Connections of a process that forked, kept from being collected, and so closed, in the child.
_abandoned: list[sqlite3.Connection | None] = []


def _checked(value: bytes) -> bytes:
    body = value[_CRC_BYTES:]
    if len(value) < _CRC_BYTES or zlib.crc32(body) != int.from_bytes(value[:_CRC_BYTES], "little"):
        raise StoreError("cannot be read: its checksum is not the one recorded")
    return body


class Index(Cache):  # type: ignore[misc]  # diskcache is untyped
    """The SQLite index: small values inline, segments by the path of their file.

    One connection serves all threads, which take turns (the archive's lock): diskcache's own, one per thread, keep
    their descriptors after their threads have ended, and none but its thread can close it.
    """

    _shared: sqlite3.Connection | None = None
    _opened_by = 0

    @property
    def _con(self) -> sqlite3.Connection:
        if self._shared is None or self._opened_by != os.getpid():
            # A connection must not be carried into a forked child; closing it, too, is for the parent: in the child it
            # hung, once in some thousand forks.
            _abandoned.append(self._shared)
            self._shared = self._connected()
            self._opened_by = os.getpid()
        return self._shared

    def _connected(self) -> sqlite3.Connection:
        connection = _connect(Path(self.directory, str(DBNAME)))
        for pragma, value in _PER_CONNECTION.items():
            connection.execute(f"PRAGMA {pragma} = {value}")
        return connection

    def register(self, key: str, path: Path) -> None:
        """List a file that is among the segments already."""
        filename = f"{_SEGMENT_DIRECTORY}/{path.name}"
        self._sql(
            "INSERT OR REPLACE INTO Cache (key, raw, store_time, access_time, access_count, size, mode, filename) "
            "VALUES (?, 1, 0, 0, 0, ?, ?, ?)",
            (key, path.stat().st_size, _FILE, filename),
        )

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        if self._shared is not None and self._opened_by == os.getpid():
            self._shared.close()
            self._shared = None

    def inline(self, key: str) -> bytes | None:
        """Read a small value."""
        with _named(key):
            value: bytes | None = self.get(key)
        return value

    def path(self, key: str) -> Path | None:
        """Find the file of a segment."""
        with _named(key):
            found: Path | None = self.get(key, read=True)
        return found

    def inline_after(self, prefix: str, key: str) -> list[tuple[str, bytes]]:
        """Read the small values of the keys that begin with *prefix* and follow *key*, in order."""
        query = "SELECT key, mode, filename, value FROM Cache WHERE key > ? AND key < ? AND raw = 1 ORDER BY key"
        found = []
        for name, mode, filename, value in self._sql(query, (key, _after(prefix))).fetchall():
            with _named(name):
                found.append((_text(name), self.disk.fetch(mode, filename, value, read=False)))
        return found

    def delete_between(self, first: str, last: str) -> None:
        """Delete small values, from one key to another, both included."""
        self._sql("DELETE FROM Cache WHERE key >= ? AND key <= ? AND raw = 1", (first, last))

    def keys_of(self, prefix: str) -> list[str]:
        """List the keys that begin with *prefix*, in one query over SQLite's index of keys."""
        query = "SELECT key FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY key"
        return [_text(key) for (key,) in self._sql(query, (prefix, _after(prefix))).fetchall()]


class ReadOnlyIndex(Index):
    """The index of a directory that cannot be written, *because* of what: what would change it is refused."""

    def __init__(self, directory: Path, because: str = "its directory is read-only") -> None:
        # Not diskcache's, which writes what it has opened.
        self._directory = str(directory)
        self._timeout = _LOCK_WAIT_S
        self._disk = BytesDisk(self._directory)
        self.statistics, self.eviction_policy = 0, "none"
        self._because = because
        self._forget_copy: Callable[[], object] = lambda: None

    def _connected(self) -> sqlite3.Connection:
        database, wal = (Path(self._directory, f"{DBNAME}{suffix}") for suffix in ("", "-wal"))
        connection = _connect(database, "mode=ro")
        try:
            connection.execute("SELECT count(*) FROM Settings").fetchone()
        except sqlite3.OperationalError:
            connection.close()
        else:
            return connection
        if not (wal.exists() and wal.stat().st_size):
            return _connect(database, "immutable=1")
        # Its latest changes are in a file that SQLite reads only where it may write beside it.
        copies = Path(tempfile.mkdtemp(prefix="alltick-index-"))
        self._forget_copy = weakref.finalize(self, shutil.rmtree, copies, ignore_errors=True)
        for path in (database, wal):
            shutil.copy(path, copies)
        return _connect(copies / database.name)

    def close(self) -> None:
        """Close the connection, and let go of a copy."""
        super().close()
        self._forget_copy()

    def transact(self, *_: object, **__: object) -> contextlib.AbstractContextManager[None]:
        """Refuse."""
        raise StoreError(
            f"nothing can be kept in the archive in {self._directory}: {self._because}; make room there, or copy it to "
            f"a directory of your own and set ALLTICK_CACHE_DIR to that"
        )

    set = delete = add = register = delete_between = transact  # type: ignore[assignment]


def _connect(path: Path, how: str = "mode=rwc") -> sqlite3.Connection:
    uri = f"{path.as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False)


def _text(key: Any) -> str:
    # A damaged table has values of other types where its index led to.
    if type(key) is not str:
        raise StoreError(f"has a key that is a {type(key).__name__}, which alltick_frames never writes")
    return key


def _after(prefix: str) -> str:
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def open_index(directory: Path) -> Index:
    """Open the index in *directory*, made with mode 0700 if it does not exist; not on a network file system."""
    with reported(directory):
        kind = file_system_of(directory.resolve(), _MOUNTS.read_text(encoding="utf-8") if _MOUNTS.exists() else "")
        if kind in _NETWORK_FILE_SYSTEMS:
            raise StoreError(
                f"the archive in {directory} is on a network file system ({kind}), where SQLite's locks fail and bars "
                f"would be lost; set ALLTICK_CACHE_DIR to a directory on a local disk"
            )
        if is_archive(directory) and not os.access(directory, os.W_OK):
            return ReadOnlyIndex(directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
        if not (directory / _SEGMENT_DIRECTORY).exists():
            (directory / _SEGMENT_DIRECTORY).mkdir(exist_ok=True, mode=0o700)
            sync_directory(directory)
            sync_directory(directory.parent)
        # SQLite does not wait for one that is just making the same file.
        with filelock.FileLock(directory / _OPENING, timeout=_LOCK_WAIT_S):
            try:
                return Index(str(directory), timeout=_LOCK_WAIT_S, disk=BytesDisk, **_SETTINGS)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                # What is held can be read all the same.
                return ReadOnlyIndex(directory, "its disk is full")
            except (
                TypeError,
                ValueError,
                AttributeError,
                LookupError,
            ) as error:  # diskcache trusts its settings' table
                raise sqlite3.DatabaseError(f"its settings are damaged: {error}") from None


def salvaged(directory: Path) -> dict[str, bytes]:
    """Read what can be of the small values of a damaged index, row by row."""
    rows: dict[str, bytes] = {}
    with contextlib.suppress(sqlite3.Error, OSError):
        connection = sqlite3.connect(f"{(directory / str(DBNAME)).as_uri()}?mode=rw", uri=True)
        with contextlib.closing(connection):
            (last,) = connection.execute("SELECT max(rowid) FROM Cache").fetchone()
            for number in range(1, (last or 0) + 1):
                with contextlib.suppress(sqlite3.Error, UnicodeDecodeError, StoreError):
                    query = "SELECT key, mode, value FROM Cache WHERE rowid = ?"
                    for key, mode, value in connection.execute(query, (number,)):
                        if type(key) is str and type(value) is bytes and mode in (_INLINE, _CHECKED):
                            rows[key] = _checked(value) if mode == _CHECKED else value
    return rows


def is_archive(directory: Path) -> bool:
    """Say whether an index was made in *directory*; opening it would make one."""
    return (directory / str(DBNAME)).is_file()


def file_system_of(path: Path, mounts: str) -> str:
    """Say what kind of file system *path* is on, by the lines of /proc/self/mounts; empty if they do not tell."""
    fields = [line.split(" ") for line in mounts.splitlines()]
    kinds = {Path(where.replace("\\040", " ")): kind for _, where, kind, *_ in fields}
    return next((kinds[parent] for parent in (path, *path.parents) if parent in kinds), "")


@contextlib.contextmanager
def reported(directory: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say into a `StoreError`."""
    why = ""
    try:
        yield
    except Timeout:
        why = f"its index was locked or could not be written for {_LOCK_WAIT_S} s"
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # the last: SQLite quotes what is damaged
        why = str(error) or type(error).__name__
    if why:
        raise StoreError(
            f"the archive in {directory} cannot be used: {why}; check that the directory is yours, on a local disk "
            f"that is not full, or set ALLTICK_CACHE_DIR"
        )


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    """Name the entry in what `BytesDisk`, which is not told the key, has to say about it."""
    why = ""
    try:
        yield
    except StoreError as error:
        why = str(error)
    if why:
        raise StoreError(f"archive entry {key!r} {why}")


def _write_new(path: Path, value: bytes) -> None:
    # 'xb': a value file is never written twice.
    try:
        with path.open("xb") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Let the names in a directory outlive a power cut."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
