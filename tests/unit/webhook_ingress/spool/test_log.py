"""The log on a real file system, with crashes made by letting go of the lock without a goodbye."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.support.servers import examples
from tests.unit.webhook_ingress.spool.disks import WatchedDisk
from webhook_ingress.spool.disk import SpoolUnusable
from webhook_ingress.spool.log import RecordLog
from webhook_ingress.spool.records import HEAD_BYTES

AT_MS = 1000
PLENTY = 10**6


def opened(
    folder: Path, *, max_bytes: int = PLENTY, file_bytes: int = 200, disk: WatchedDisk | None = None
) -> RecordLog:
    """A log with small files."""
    return RecordLog(folder, max_bytes=max_bytes, file_bytes=file_bytes, disk=disk)


def crashed(log: RecordLog) -> None:
    """What the kernel does when a process is killed."""
    log._lock.release()


def taken(log: RecordLog, most: int = 3) -> list[bytes]:
    """Read and confirm all that is there."""
    found: list[bytes] = []
    while log.records:
        chunk = log.read(most)
        found += chunk.payloads
        log.confirm(chunk)
    return found


def payloads(count: int, first: int = 0) -> list[bytes]:
    """Different ones."""
    return [b"payload %d" % number for number in range(first, first + count)]


def data_files(folder: Path) -> list[Path]:
    """Where the records are."""
    return sorted(folder.glob("*.log"))


def test_what_was_appended_is_read_in_order_and_then_gone(tmp_path: Path) -> None:
    """Over many files; nothing but the last file stays, and it goes at the end."""
    log = opened(tmp_path)
    for number in range(50):
        assert log.append(payloads(2, 2 * number), AT_MS) == 2
    assert log.records == 100
    assert len(data_files(tmp_path)) > 10
    assert taken(log) == payloads(100)
    assert (log.records, log.oldest_at_ms) == (0, None)
    assert len(data_files(tmp_path)) <= 1
    log.close()
    assert data_files(tmp_path) == []


def test_a_record_counts_only_after_the_sync(tmp_path: Path) -> None:
    """The file's name, the bytes, then `append` returns: in this order, with one sync for the group."""
    disk = WatchedDisk()
    log = opened(tmp_path, disk=disk)
    log.append(payloads(3), AT_MS)
    assert disk.calls == ["create", "sync folder", "write", "sync"]
    disk.sync_error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        log.append(payloads(1, 3), AT_MS)
    assert log.records == 3
    disk.sync_error = None
    log.append(payloads(1, 4), AT_MS)
    assert taken(log) == [*payloads(3), *payloads(1, 4)]


def test_a_file_whose_sync_failed_is_never_written_to_again(tmp_path: Path) -> None:
    """Nobody knows what of it is on the disk."""
    disk = WatchedDisk()
    log = opened(tmp_path, disk=disk, file_bytes=PLENTY)
    log.append(payloads(1), AT_MS)
    disk.sync_error = OSError(errno.EIO, "Input/output error")
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output"):
            log.append(payloads(1, 1), AT_MS)
    disk.sync_error = None
    log.append(payloads(1, 2), AT_MS)
    assert len(data_files(tmp_path)) == 2
    crashed(log)
    assert taken(opened(tmp_path)) == [*payloads(1), *payloads(1, 2)]


def test_a_full_disk_loses_nothing_of_what_was_promised(tmp_path: Path) -> None:
    """A write that ends half way is taken back; when there is room again it goes on."""
    disk = WatchedDisk(free_bytes=150)
    log = opened(tmp_path, disk=disk)
    kept: list[bytes] = []
    for number in range(12):
        with suppress(OSError):
            log.append(payloads(1, number), AT_MS)
            kept += payloads(1, number)
        if number == 8:
            disk.free_bytes = 10**6
    assert 3 <= len(kept) < 12
    crashed(log)
    with capture_logs() as lines:
        log = opened(tmp_path)
    assert lines == []
    assert taken(log) == kept


def test_it_never_holds_more_than_it_may(tmp_path: Path) -> None:
    """It says how many it took, and takes more when some are delivered."""
    log = opened(tmp_path, max_bytes=1000)
    size = HEAD_BYTES + 100
    assert log.append([bytes([n]) * 100 for n in range(20)], AT_MS) == 1000 // size
    assert log.append([b"x" * 100], AT_MS) == 0
    assert log.used_bytes == sum(path.stat().st_size for path in data_files(tmp_path)) <= 1000
    assert taken(log) == [bytes([n]) * 100 for n in range(1000 // size)]
    assert log.append([b"x" * 100], AT_MS) == 1


def test_a_torn_end_is_cut_off_and_said(tmp_path: Path) -> None:
    """At whichever byte of the last record the crash was; what comes afterwards is appended behind it."""
    folder = tmp_path / "whole"
    log = opened(folder, file_bytes=PLENTY)
    log.append(payloads(3), AT_MS)
    crashed(log)
    whole = data_files(folder)[0].read_bytes()
    last = HEAD_BYTES + len(payloads(1)[0])
    for cut in range(1, last):
        torn = tmp_path / f"torn-{cut}"
        torn.mkdir()
        (torn / "000000000001.log").write_bytes(whole[:-cut])
        with capture_logs() as lines:
            log = opened(torn)
        assert [(line["event"], line["cut_bytes"]) for line in lines] == [("spool.tail_cut", last - cut)]
        assert log.records == 2
        log.append([b"new"], AT_MS)
        assert taken(log) == [*payloads(2), b"new"]
        log.close()


def test_zeros_at_the_end_are_a_torn_end(tmp_path: Path) -> None:
    """After a power loss a file may be longer than what reached it."""
    log = opened(tmp_path, file_bytes=PLENTY)
    log.append(payloads(2), AT_MS)
    crashed(log)
    with data_files(tmp_path)[0].open("ab") as file:
        file.write(bytes(4096))
    assert taken(opened(tmp_path)) == payloads(2)


@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_damage_in_the_middle_is_skipped_said_and_kept(tmp_path: Path, when: str) -> None:
    """All other records are delivered, and the damaged file stays aside for whoever wants to look."""
    log = opened(tmp_path)
    for number in range(20):
        log.append(payloads(1, number), AT_MS)
    if when == "before the start":
        crashed(log)
    damaged = data_files(tmp_path)[1]
    data = bytearray(damaged.read_bytes())
    data[HEAD_BYTES + 3] ^= 1
    damaged.write_bytes(data)
    with capture_logs() as lines:
        log = opened(tmp_path) if when == "before the start" else log
        found = taken(log)
    assert len(found) == 19
    assert set(found) < set(payloads(20))
    assert found == sorted(found, key=payloads(20).index)
    assert [line["event"] for line in lines] == ["spool.damaged"]
    assert log.damages == 1
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged")] == [data]
    log.close()
    assert data_files(tmp_path) == []


def test_after_a_crash_the_position_goes_on(tmp_path: Path) -> None:
    """What was confirmed is not read again."""
    log = opened(tmp_path)
    log.append(payloads(30), AT_MS)
    log.confirm(log.read(7))
    crashed(log)
    log = opened(tmp_path)
    assert log.records == 23
    assert taken(log) == payloads(23, 7)


@pytest.mark.parametrize("position", [b"", b"\x01" * 20, bytes(20)], ids=["none", "wrong", "zeros"])
def test_a_lost_position_costs_copies_and_nothing_else(tmp_path: Path, position: bytes) -> None:
    """What is still there is read from its beginning."""
    log = opened(tmp_path)
    for number in range(9):
        log.append(payloads(1, number), AT_MS)
    log.confirm(log.read(5))
    crashed(log)
    (tmp_path / "position").write_bytes(position)
    found = taken(opened(tmp_path))
    assert found[-5:] == payloads(9)[-5:]
    assert found == payloads(9)[-len(found) :]


def test_an_old_position_hides_no_new_record(tmp_path: Path) -> None:
    """A file's number never comes again, not even after all files are gone and the process is a new one."""
    log = opened(tmp_path)
    log.append(payloads(9), AT_MS)
    taken(log)
    log.close()
    for number in range(3):
        log = opened(tmp_path)
        log.append(payloads(1, number), AT_MS)
        crashed(log)
        log = opened(tmp_path)
        assert taken(log) == payloads(1, number)
        log.close()


def test_a_second_one_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """With a text that names the folder and the process; when the first is gone it may."""
    log = opened(tmp_path)
    with pytest.raises(SpoolUnusable, match=f"{tmp_path}.*another process.*{os.getpid()}"):
        opened(tmp_path)
    log.close()
    opened(tmp_path).close()


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    """With the setting's name and the reason."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(SpoolUnusable, match=r"JUNE_SPOOL_DIR .*/file: File exists"):
        opened(tmp_path / "file")


def test_nobody_else_may_look_into_it(tmp_path: Path) -> None:
    """Folder 0700, files 0600, whatever the folder was before."""
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o755)
    log = opened(folder)
    log.append(payloads(1), AT_MS)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "lock": 0o600,
        "position": 0o600,
        "000000000001.log": 0o600,
    }


def test_it_tells_the_age_of_what_waits(tmp_path: Path) -> None:
    """The time of the oldest, kept over a restart."""
    log = opened(tmp_path)
    log.append(payloads(1), 1000)
    log.append(payloads(1), 2000)
    assert log.oldest_at_ms == 1000
    crashed(log)
    log = opened(tmp_path)
    assert log.oldest_at_ms == 1000
    log.confirm(log.read(1))
    assert log.oldest_at_ms in {1000, 2000}
    taken(log)
    assert log.oldest_at_ms is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 6)),
        st.tuples(st.just("confirm"), st.integers(1, 6)),
        st.tuples(st.sampled_from(["read", "crash", "restart", "fail"]), st.just(1)),
    ),
    max_size=25,
)


@settings(max_examples=examples(60), deadline=None)
@given(STEPS)
def test_whatever_happens_what_was_promised_comes_out_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Appends, deliveries, failed writes, crashes and orderly ends, in any order."""
    folder = tmp_path_factory.mktemp("spool")
    disk = WatchedDisk()
    log = opened(folder, file_bytes=90, disk=disk)
    promised: list[bytes] = []
    delivered: list[bytes] = []
    for step, count in steps:
        match step:
            case "append":
                new = payloads(count, len(promised))
                assert log.append(new, AT_MS) == count
                promised += new
            case "fail":
                disk.free_bytes = 5
                with pytest.raises(OSError, match="No space"):
                    log.append([b"never promised"], AT_MS)
                disk.free_bytes = 10**9
            case "read" if log.records:
                log.read(2)
            case "confirm" if log.records:
                chunk = log.read(count)
                log.confirm(chunk)
                delivered += chunk.payloads
            case "crash":
                crashed(log)
                log = opened(folder, file_bytes=90, disk=disk)
            case "restart":
                log.close()
                log = opened(folder, file_bytes=90, disk=disk)
        assert log.records == len(promised) - len(delivered)
        assert log.used_bytes == sum(path.stat().st_size for path in data_files(folder))
    delivered += taken(log)
    log.close()
    assert delivered == promised
