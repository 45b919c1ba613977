"""Schemathesis against the HTTP API: what the document says is what is answered, whatever is sent."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.servers.rabbitmq_server import chosen_versions
from tests.e2e.http_api import api_of
from tests.e2e.installation import Installation

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 150
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "missing_required_header",
)


@pytest.mark.slow
@pytest.mark.parametrize("rabbitmq_version", chosen_versions()[-1:], indirect=True, scope="session")
async def test_every_answer_is_as_the_document_says(june: Installation, tmp_path: Path) -> None:
    """Right and wrong data for each route: no fault of June's, and no answer that the document does not have."""
    async with api_of(june.parts) as (http, part):
        ran = await asyncio.to_thread(_schemathesis, http.url, tmp_path)
        assert ran.returncode == 0, ran.stdout[-8000:] + part.said[-2000:]


def _schemathesis(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/api/openapi.json"]
    options = {
        "--header": "Authorization: Bearer backendbackend",
        "--checks": ",".join(CHECKS),
        # It never ends.
        "--exclude-path": "/api/events",
        "--phases": "examples,coverage,fuzzing",
        "--max-examples": "12",
        "--seed": "5",
        "--request-timeout": "20",
        "--warnings": "off",
        "--suppress-health-check": "all",
    }
    return subprocess.run(
        [*command, *(word for option in options.items() for word in option), "--no-color"],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder), "COLUMNS": "160"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
