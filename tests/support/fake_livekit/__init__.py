"""A LiveKit without media: its server API and its webhooks, as the real server has them, with faults on demand.

One contract suite (tests/contract/livekit) runs against it and against the real server.
"""

from tests.support.fake_livekit.server import FakeLiveKit
from tests.support.fake_livekit.webhooks import Posted

__all__ = ["FakeLiveKit", "Posted"]
