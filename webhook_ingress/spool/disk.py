"""What the spool asks of a file system, and what it remembers beside its records: who has it, and how far it is.

Promises: files are the owner's alone. `write` writes all of the bytes or raises OSError; only `sync` makes them
safe. A position that was not synced may come back as an older one after a power loss, never as a newer one.
"""

import fcntl
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

import structlog

log = structlog.get_logger(__name__)

_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_POSITION: Final = struct.Struct(">QQ")
_CHECKSUM: Final = struct.Struct(">I")


class SpoolUnusable(Exception):
    """The folder cannot be a spool; the text says why, and what to do."""


class Disk:
    """The calls that make bytes safe. Each may raise OSError; each blocks."""

    def create(self, path: Path) -> int:
        """A descriptor to append to a new file."""
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, _PRIVATE_FILE)

    def write(self, descriptor: int, data: bytes) -> None:
        """Append all of `data`."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """Return when what was written survives a power loss."""
        os.fsync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in the folder survive a power loss."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def private_folder(folder: Path) -> None:
    """Make the folder, or take it as it is; nobody else may look into it. Raises OSError."""
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    try:
        folder.chmod(_PRIVATE_FOLDER)
    except PermissionError:
        # A mounted volume may belong to somebody else. Its files are ours all the same.
        log.warning("spool.folder_not_private", folder=str(folder))


class Lock:
    """The folder belongs to this process until `release`, or until the process ends in whatever way."""

    def __init__(self, folder: Path) -> None:
        """Raises SpoolUnusable when another process has it, and OSError."""
        self._descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, _PRIVATE_FILE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise SpoolUnusable(
                f"JUNE_SPOOL_DIR {folder}: another process has it (pid {owner}): give each ingress a folder of its own"
            ) from None
        with suppress(OSError):  # on a full disk the lock still holds, only the number is missing
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Position:
    """All before this place has been delivered."""

    file: int
    offset: int


class PositionFile:
    """Remembers the position in place. Not synced: being behind costs copies, nothing else."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._descriptor = os.open(folder / "position", os.O_CREAT | os.O_RDWR, _PRIVATE_FILE)
        self._failed = False

    def load(self) -> Position:
        """The last that was saved; the very beginning when there is none that can be believed."""
        data = os.pread(self._descriptor, _POSITION.size + _CHECKSUM.size, 0)
        place, checksum = data[: _POSITION.size], data[_POSITION.size :]
        if len(place) < _POSITION.size or checksum != _CHECKSUM.pack(crc32(place)):
            return Position(file=0, offset=0)
        file, offset = _POSITION.unpack(place)
        return Position(file=file, offset=offset)

    def save(self, position: Position) -> None:
        """Never raises: a disk that is full now must not stop what makes it emptier."""
        place = _POSITION.pack(position.file, position.offset)
        try:
            os.pwrite(self._descriptor, place + _CHECKSUM.pack(crc32(place)), 0)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("spool.position_not_saved", error=str(error), meaning="a restart sends copies")
            self._failed = True

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)
