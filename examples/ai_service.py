"""An AI service, as others would write one, with two rules in the place of a model.

`python -m examples.ai_service` takes `june.ai.turn.v1` and answers with `june.ai.reply.v1`, part by part as a model
would give its sentences. A cancel ends the answer where it is. It says of itself that it is a sample.
"""

import asyncio

from examples.service import Data, Kind, Service, run

KIND = Kind(
    name="sample-ai",
    jobs_queue="june.ai.jobs.v1",
    stop_type="june.ai.cancel.v1",
    status_type="june.ai.status.v1",
    key="turn_id",
)
THINKING_S = 0.05


async def answer(service: Service, turn: Data) -> None:
    """Give the parts of the answer as they come."""
    parts = sentences(turn)
    for number, text in enumerate(parts):
        await asyncio.sleep(THINKING_S)
        await service.report(
            turn,
            "june.ai.reply.v1",
            turn_id=turn["turn_id"],
            attempt=turn["attempt"],
            part=number,
            text=text,
            is_final=number == len(parts) - 1,
        )


def sentences(turn: Data) -> list[str]:
    """The rules: greet who is new, repeat what was said."""
    who = turn["participant"]["name"] or turn["participant"]["identity"]
    greeting = f"Hello again, {who}." if turn["history"] else f"Hello {who}, I am a sample with two rules."
    return [greeting, f"You said {len(turn['text'].split())} words."]


if __name__ == "__main__":
    run(KIND, answer)
