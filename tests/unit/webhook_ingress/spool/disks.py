"""File systems as a test wants them, on top of the real one."""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from webhook_ingress.spool.disk import Disk


@dataclass
class WatchedDisk(Disk):
    """Notes what was asked of it, in order, and fails as told."""

    calls: list[str] = field(default_factory=list)
    free_bytes: int = 10**9
    """What a write still finds room for; more than that ends in ENOSPC, half way."""
    sync_error: OSError | None = None

    def create(self, path: Path) -> int:
        self.calls.append("create")
        return super().create(path)

    def write(self, descriptor: int, data: bytes) -> None:
        self.calls.append("write")
        os.write(descriptor, data[: self.free_bytes])
        if len(data) > self.free_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.free_bytes -= len(data)

    def sync(self, descriptor: int) -> None:
        self.calls.append("sync")
        if self.sync_error is not None:
            raise self.sync_error
        super().sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        self.calls.append("sync folder")
        super().sync_folder(folder)
