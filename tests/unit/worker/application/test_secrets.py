"""Where tokens are not: in what June keeps, and in what it tells everybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.world import a_world


async def test_no_token_of_an_answer_is_kept(tmp_path: Path) -> None:
    """Each answer has one, the second of the same command too; none is in the database or in an event."""
    async with a_world(tmp_path) as world:
        commands: dict[str, dict[str, Any]] = {
            "session.create": {"user_id": "ann", "session_id": "s", "metadata": {"plan": "p"}},
            "session.get": {"session_id": "s"},
            "guest_token.create": {"session_id": "s", "guest_name": "Bob"},
        }
        answers = [
            await world.ask(type_, command_id=type_, **data)
            for _ in range(2)
            for type_, data in commands.items()
        ]
        await world.deliver()
        await world.settle()
        published = json.dumps(world.published)
    tokens = [answer["result"]["access_token"] for answer in answers]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b'"plan"' in kept, "what is kept can be found there"
    assert all(token.startswith("eyJ") for token in tokens)
    assert b"eyJ" not in kept
    assert "eyJ" not in published
