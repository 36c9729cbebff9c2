"""Whatever is sent to the portal, it answers as its OpenAPI document says, and never with a failure of its own."""

from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.integration.system import RealSystem
from tests.integration.test_portal import signed_in_coordinator

EXAMPLES = 10
LEAST = 30


@pytest.fixture
async def coordinator(system: RealSystem) -> tuple[str, str, str]:
    """The portal's address, the token of a coordinator, and the id of their purchase."""
    address = f"http://127.0.0.1:{system.services.port('portal')}"
    async with httpx.AsyncClient(base_url=f"{address}/v1", timeout=30) as client:
        signed = await signed_in_coordinator(system, client, f"fuzz.{uuid4().hex[:8]}@harbour.example")
    return address, signed["token"], signed["purchase_id"]


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_way_in_answers_anything_as_its_document_says(
    mode: GenerationMode, coordinator: tuple[str, str, str]
) -> None:
    address, token, purchase_id = coordinator
    headers = {"Authorization": f"Bearer {token}", "Prefer": "respond-async"}
    tried = set()
    for found in schemathesis.openapi.from_url(f"{address}/v1/openapi.json").get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/progress"):  # It never ends.
            continue

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        )
        def try_anything(case: Any) -> None:
            if "purchase_id" in case.path_parameters:
                case.path_parameters["purchase_id"] = purchase_id  # Anything else is a 404.
            answer = case.call(headers=headers, timeout=20)
            case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])
            tried.add((case.operation.method, case.operation.path))

        with suppress(Unsatisfiable):  # There is nothing to get wrong where nothing is asked for.
            try_anything()
    assert len(tried) > LEAST
