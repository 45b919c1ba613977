"""Who should hold which partition: rendezvous hashing, with no worker knowing of another."""

from collections import Counter

from schemas.topology import PARTITIONS
from worker.adapters.amqp.ranks import HIGHEST, rank

WORKERS = [f"host-{number}-{number * 7919}" for number in range(8)]


def holders(workers: list[str]) -> dict[int, str]:
    """As RabbitMQ 4 chooses them: the consumer with the highest priority."""
    return {number: max(workers, key=lambda worker: rank(worker, number)) for number in range(PARTITIONS)}


def test_a_rank_is_a_priority_that_amqp_takes_and_never_changes() -> None:
    """A restart under the same name has the same ranks; they are those of every version."""
    ranks = [rank("host-1-abc", number) for number in range(PARTITIONS)]
    assert ranks == [rank("host-1-abc", number) for number in range(PARTITIONS)]
    assert ranks[:2] == [2049458918, 250218508]
    assert all(0 <= one <= HIGHEST == 2**31 - 1 for one in ranks)
    assert len(set(ranks)) == PARTITIONS


def test_a_worker_that_comes_takes_only_what_it_wins() -> None:
    """No partition moves between those that were there; and one that goes leaves the others what they had."""
    for count in range(1, len(WORKERS)):
        before, after = holders(WORKERS[:count]), holders(WORKERS[: count + 1])
        moved = {number for number in before if before[number] != after[number]}
        assert {after[number] for number in moved} <= {WORKERS[count]}


def test_the_load_spreads() -> None:
    """Over many names two workers share about evenly, and none of eight is without work for long."""
    shares = Counter(
        holder == f"a{number}"
        for number in range(200)
        for holder in holders([f"a{number}", f"b{number}"]).values()
    )
    assert 0.45 < shares[True] / shares.total() < 0.55
    assert len(set(holders(WORKERS).values())) >= 6
