"""The records on disk: an append-only log in files of about a megabyte, read from the front and removed behind it.

Promises: what `append` counts is synced, and is read again after any crash, in order, until `confirm` says that it
was delivered. A torn end is cut off when the log is opened, and said; a damaged place in the middle is skipped,
said, and its whole file kept aside as `….damaged`. The files never hold more than `max_bytes` together.
Refuses a folder that another process has (SpoolUnusable). Blocking, and for one thread at a time.
"""

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from webhook_ingress.spool.disk import Disk, Lock, Position, PositionFile, SpoolUnusable, private_folder
from webhook_ingress.spool.records import HEAD_BYTES, Damage, Record, encode_record, scan

log = structlog.get_logger(__name__)

FILE_BYTES: Final = 1024 * 1024
"""A file that is this long is followed by the next. A power loss may send one file's records again."""
_LEAST_FILES: Final = 8
"""Space comes back by whole files, so even a small log has several."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Payloads in order; `end` is where the next begin. Empty when all between was damaged."""

    payloads: tuple[bytes, ...]
    end: Position
    last_at_ms: int | None


@dataclass(kw_only=True, slots=True)
class _File:
    """`size` is what is safe; beyond it nothing counts. `records` are those that were not delivered yet."""

    number: int
    path: Path
    size: int = 0
    records: int = 0
    damaged: bool = False


class RecordLog:
    """The records of one folder."""

    def __init__(
        self, folder: Path, *, max_bytes: int, file_bytes: int = FILE_BYTES, disk: Disk | None = None
    ) -> None:
        """Opens the folder and looks through all that it holds. Raises SpoolUnusable."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._file_bytes = min(file_bytes, max(1, max_bytes // _LEAST_FILES))
        self._disk = disk or Disk()
        self._files: deque[_File] = deque()
        self._descriptor: int | None = None
        self.records = 0
        """How many are waiting to be delivered."""
        self.used_bytes = 0
        """The size of all files."""
        self.oldest_at_ms: int | None = None
        """When the oldest of them was written, or a moment before; None when there are none."""
        self.damages = 0
        """How many damaged places were found."""
        try:
            self._open()
        except OSError as error:
            raise SpoolUnusable(f"JUNE_SPOOL_DIR {folder}: {error.strerror or error}") from error

    @property
    def free_bytes(self) -> int:
        """How much may still be written, records' heads included."""
        return self._max_bytes - self.used_bytes

    def append(self, payloads: Sequence[bytes], at_ms: int) -> int:
        """Make payloads safe, written at `at_ms` (epoch): how many of them, from the first on, since it may be full.

        Raises OSError: then none of them counts, though some may be delivered after a restart all the same.
        """
        fitting = self._fitting(payloads)
        if fitting == 0:
            return 0
        file, descriptor = self._writable()
        data = bytearray()
        for payload in payloads[:fitting]:
            data += encode_record(payload, file=file.number, offset=file.size + len(data), at_ms=at_ms)
        try:
            self._disk.write(descriptor, bytes(data))
            self._disk.sync(descriptor)
        except OSError:
            self._abandon(file, descriptor)
            raise
        file.size += len(data)
        file.records += fitting
        self.used_bytes += len(data)
        self.oldest_at_ms = at_ms if self.records == 0 else self.oldest_at_ms
        self.records += fitting
        return fitting

    def read(self, most: int) -> Chunk:
        """Up to `most` payloads from the position on, all from one file; the same again until `confirm`."""
        file = self._files[0]
        begin = self._position.offset if self._position.file == file.number else 0
        payloads: list[bytes] = []
        end, at_ms, was_said = begin, None, file.damaged
        for item in scan(_bytes_of(file, begin), file=file.number, offset=begin):
            end = item.end
            if isinstance(item, Damage):
                if not was_said:
                    self._say_damaged(file, item)
                continue
            payloads.append(item.payload)
            at_ms = item.at_ms
            if len(payloads) == most:
                break
        return Chunk(payloads=tuple(payloads), end=Position(file=file.number, offset=end), last_at_ms=at_ms)

    def confirm(self, chunk: Chunk) -> None:
        """What was read last has been delivered. Never raises for a file that cannot be removed: it is said."""
        file = self._files[0]
        at_end = chunk.end.offset >= file.size
        # At the end nothing is left, whatever damage made of the count.
        delivered = file.records if at_end else min(len(chunk.payloads), file.records)
        file.records -= delivered
        self.records -= delivered
        self._position = chunk.end
        self._position_file.save(chunk.end)
        self.oldest_at_ms = (chunk.last_at_ms or self.oldest_at_ms) if self.records else None
        if at_end and not self._is_open(file):
            self._files.popleft()
            self._remove(file)

    def keep(self) -> None:
        """Something in the file that was read last could not be used: keep the file aside when it is through."""
        self._files[0].damaged = True

    def probe(self) -> None:
        """Raises OSError when nothing can be made safe at this moment."""
        path = self._folder / "probe"
        with suppress(FileNotFoundError):
            path.unlink()
        descriptor = self._disk.create(path)
        try:
            self._disk.write(descriptor, bytes(HEAD_BYTES))
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()

    def close(self) -> None:
        """Let go of the folder. Nothing else may be called afterwards."""
        self._seal()
        if self._files and not self.records:
            self._remove(self._files.popleft())
        self._position_file.close()
        self._lock.release()

    def _open(self) -> None:
        private_folder(self._folder)
        self._lock = Lock(self._folder)
        self._position_file = PositionFile(self._folder)
        self._position = self._position_file.load()
        found = sorted((int(path.stem), path) for path in self._folder.glob("*.log") if path.stem.isdecimal())
        for number, path in found:
            file = _File(number=number, path=path, size=path.stat().st_size)
            self.used_bytes += file.size
            if number >= self._position.file:
                self._look_through(file, is_last=number == found[-1][0])
            if file.records:
                self._files.append(file)
            else:
                self._remove(file)
        # Never a number again that the position is beyond.
        self._number = max([self._position.file, *(number for number, _ in found)])

    def _look_through(self, file: _File, *, is_last: bool) -> None:
        begin = self._position.offset if self._position.file == file.number else 0
        for item in scan(_bytes_of(file, begin), file=file.number, offset=begin):
            if isinstance(item, Record):
                file.records += 1
                self.records += 1
                self.oldest_at_ms = self.oldest_at_ms or item.at_ms
            elif is_last and item.end == file.size:
                self._cut(file, item)
            else:
                self._say_damaged(file, item)

    def _cut(self, file: _File, torn: Damage) -> None:
        """What a crash left half written was never promised to anybody."""
        os.truncate(file.path, torn.start)
        self.used_bytes -= file.size - torn.start
        log.warning(
            "spool.tail_cut", file=file.path.name, offset=torn.start, cut_bytes=file.size - torn.start
        )
        file.size = torn.start

    def _say_damaged(self, file: _File, damage: Damage) -> None:
        self.damages += 1
        file.damaged = True
        log.error(
            "spool.damaged",
            file=file.path.name,
            offset=damage.start,
            damaged_bytes=damage.end - damage.start,
            kept_as=_aside(file.path).name,
        )

    def _fitting(self, payloads: Sequence[bytes]) -> int:
        free = self.free_bytes
        for count, payload in enumerate(payloads):
            free -= HEAD_BYTES + len(payload)
            if free < 0:
                return count
        return len(payloads)

    def _is_open(self, file: _File) -> bool:
        """More may be appended to it."""
        return self._descriptor is not None and file is self._files[-1] and file.size < self._file_bytes

    def _writable(self) -> tuple[_File, int]:
        if self._files and self._descriptor is not None and self._files[-1].size < self._file_bytes:
            return self._files[-1], self._descriptor
        self._seal()
        self._number += 1
        file = _File(number=self._number, path=self._folder / f"{self._number:012d}.log")
        descriptor = self._disk.create(file.path)
        try:
            self._disk.sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            self._remove(file)
            raise
        self._files.append(file)
        self._descriptor = descriptor
        return file, descriptor

    def _seal(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _abandon(self, file: _File, descriptor: int) -> None:
        """After a failed sync nobody knows what is on the disk: back to what is safe, and never to this file again."""
        with suppress(OSError):
            os.ftruncate(descriptor, file.size)
        self._seal()
        if not file.records:
            self._files.pop()
            self._remove(file)

    def _remove(self, file: _File) -> None:
        self.used_bytes -= file.size
        try:
            if file.damaged:
                file.path.rename(_aside(file.path))
            else:
                file.path.unlink()
        except OSError as error:
            log.error("spool.file_not_removed", file=file.path.name, error=str(error))


def _aside(path: Path) -> Path:
    return path.with_suffix(".damaged")


def _bytes_of(file: _File, begin: int) -> bytes:
    with file.path.open("rb") as source:
        source.seek(begin)
        return source.read(max(0, file.size - begin))
