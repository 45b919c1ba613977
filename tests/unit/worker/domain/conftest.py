"""What the tests of the domain start from."""

import pytest

from tests.support.memory_domain import MemoryDomain
from tests.unit.worker.domain.facts import joined, published


@pytest.fixture
def domain() -> MemoryDomain:
    """A room with one voice, whose job is on offer."""
    domain = MemoryDomain()
    domain.give(joined(), published())
    return domain
