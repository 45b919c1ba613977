"""What a run is given: where a server answers, and how a test makes it fail."""

from dataclasses import dataclass, field
from typing import Protocol


class NotOursError(RuntimeError):
    """The server was given by its URL: this run did not start it, and does not stop it."""


class Controls(Protocol):
    """A server's life. Ports and data stay the same over all of these."""

    @property
    def pid(self) -> int:
        """The server's own process. Raises when it does not run here."""

    def check(self) -> None:
        """Raises ServerError, with its last words, when it has ended by itself."""

    def kill(self) -> None:
        """As a crash; returns when it is gone."""

    def stop(self) -> None:
        """In order; returns when it is gone."""

    def start_again(self) -> None:
        """After `kill` or `stop`; returns when it answers."""

    def pause(self) -> None:
        """Connections stay open and nobody answers."""

    def resume(self) -> None:
        """Ends a pause."""


class Given:
    """Controls of a server that was given: refuses them all, and does not watch it."""

    @property
    def pid(self) -> int:
        raise NotOursError("the process of a server that was given by its URL is not known")

    def check(self) -> None:
        """Whoever gave it looks after it."""

    def kill(self) -> None:
        raise NotOursError("a server that was given by its URL is not killed")

    def stop(self) -> None:
        raise NotOursError("a server that was given by its URL is not stopped")

    def start_again(self) -> None:
        raise NotOursError("a server that was given by its URL is not started")

    def pause(self) -> None:
        raise NotOursError("a server that was given by its URL is not paused")

    def resume(self) -> None:
        raise NotOursError("a server that was given by its URL is not resumed")


@dataclass(frozen=True, kw_only=True)
class Controlled:
    """A handle that passes its controls on."""

    version: str
    origin: str
    """`given`, `docker` or `native`."""
    controls: Controls = field(repr=False)

    @property
    def pid(self) -> int:
        """The server's own process, for CPU time and memory."""
        return self.controls.pid

    def check(self) -> None:
        """Raises ServerError, with its last words, when a server of ours has ended by itself."""
        self.controls.check()

    def kill(self) -> None:
        """As a crash; returns when it is gone. Ports and data stay."""
        self.controls.kill()

    def stop(self) -> None:
        """In order; returns when it is gone. Ports and data stay."""
        self.controls.stop()

    def start_again(self) -> None:
        """After `kill` or `stop`; returns when it answers."""
        self.controls.start_again()

    def pause(self) -> None:
        """Connections stay open and nobody answers."""
        self.controls.pause()

    def resume(self) -> None:
        """Ends a pause."""
        self.controls.resume()
