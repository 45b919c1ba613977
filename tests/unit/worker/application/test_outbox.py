"""What was stored to be sent, when the broker does not take it and the worker dies before it does."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.bench_worker import KeptPublisher, SetClock
from tests.support.databases import database_in
from tests.support.world import a_join_unconfirmed, a_world
from worker.adapters.sql import open_store
from worker.application.outbox import Outbox


@pytest.mark.parametrize("fault", ["down", "silent"])
async def test_what_was_not_confirmed_outlives_the_worker(tmp_path: Path, fault: str) -> None:
    """Nothing is forgotten before its confirm: the next worker's sweep sends the same bytes, once."""
    async with a_world(tmp_path) as world:
        await a_join_unconfirmed(world, fault)
        unconfirmed = list(world.publisher.messages)
    store, publisher, clock = open_store(database_in(tmp_path)), KeptPublisher(), SetClock()
    await store.start()
    clock.advance(timedelta(minutes=1))
    outbox = Outbox(store=store, publisher=publisher, clock=clock)
    assert await outbox.sweep(older_than=timedelta(seconds=10)) == len(publisher.messages)
    assert await outbox.sweep(older_than=timedelta(seconds=10)) == 0
    await store.close()
    types = [json.loads(message.body)["type"] for message in publisher.messages]
    assert types == ["june.session.created.v1", "june.session.started.v1", "june.participant.joined.v1"]
    assert unconfirmed == ([] if fault == "down" else publisher.messages)
