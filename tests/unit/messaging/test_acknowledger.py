"""Settlements, gathered into few frames."""

from hypothesis import given
from hypothesis import strategies as st

from messaging.acknowledger import Acknowledger, Settle, Verdict


class BrokerSide:
    """What a broker makes of settlements: each delivery is settled once, unknown tags are a channel error."""

    def __init__(self, count: int) -> None:
        self.open = set(range(1, count + 1))
        self.verdicts: dict[int, Verdict] = {}

    def take(self, settle: Settle) -> None:
        assert settle.tag in self.open, "PRECONDITION_FAILED - unknown delivery tag"
        reached = {tag for tag in self.open if tag <= settle.tag} if settle.multiple else {settle.tag}
        self.open -= reached
        self.verdicts |= dict.fromkeys(reached, settle.verdict)


@given(
    st.lists(st.sampled_from(Verdict), max_size=12).flatmap(
        lambda verdicts: st.tuples(
            st.permutations(list(enumerate(verdicts, start=1))),
            st.lists(st.booleans(), min_size=12, max_size=12),
        )
    )
)
def test_the_broker_learns_each_verdict_once(case: tuple[list[tuple[int, Verdict]], list[bool]]) -> None:
    """Whatever the order of settling and of writing, each delivery gets the verdict that it was given."""
    settled, flushes = case
    acknowledger, broker = Acknowledger(), BrokerSide(len(settled))
    for (tag, verdict), flush in zip(settled, flushes, strict=False):
        acknowledger.settle(tag, verdict)
        for settle in acknowledger.take() if flush else []:
            broker.take(settle)
    for settle in acknowledger.take():
        broker.take(settle)
    assert broker.verdicts == dict(settled)
    assert acknowledger.take() == []


def test_a_batch_is_one_frame() -> None:
    """A whole batch that is acked is one ack for all of it."""
    acknowledger = Acknowledger()
    for tag in (2, 1, 3):
        acknowledger.settle(tag, Verdict.ACK)
    assert acknowledger.take() == [Settle(tag=3, multiple=True, verdict=Verdict.ACK)]


def test_a_gap_is_not_settled() -> None:
    """What is settled behind an open delivery is a frame of its own, and the open one stays open."""
    acknowledger = Acknowledger()
    acknowledger.settle(2, Verdict.ACK)
    assert acknowledger.take() == [Settle(tag=2, multiple=False, verdict=Verdict.ACK)]
    acknowledger.settle(1, Verdict.DROP)
    assert acknowledger.take() == [Settle(tag=1, multiple=True, verdict=Verdict.DROP)]
