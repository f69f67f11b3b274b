"""The OpenAPI document: it describes what is there, its examples work, and nothing it allows makes a 500."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.live_exchange import LiveExchange

ALL_SCOPES = ("read", "trade", "treasury", "admin")
EXAMPLES = 10
"""Of each operation. With a fixed seed: the same requests every time."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveExchange]:
    """An exchange of its own, because these requests also halt symbols and suspend users."""
    exchange = LiveExchange(tmp_path_factory.mktemp("schema"))
    yield exchange
    exchange.stop()


@pytest.fixture(scope="module")
def headers(own: LiveExchange) -> dict[str, str]:
    return own.new_user(ALL_SCOPES, BTC="10", USDT="100000").headers


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_generated_requests_get_a_documented_answer_and_never_a_500(
    own: LiveExchange, headers: dict[str, str], mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{own.url}/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()

        @SETTINGS
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        try:
            check()
        except Unsatisfiable:
            # An operation without parameters has nothing that could be wrong.
            assert mode == GenerationMode.NEGATIVE, operation.label


def test_every_documented_example_gets_a_documented_answer(own: LiveExchange, headers: dict[str, str]) -> None:
    document = own.http.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            said = {
                place: {p["name"]: p["example"] for p in operation["parameters"] if p["in"] == place and "example" in p}
                for place in ("path", "query")
            }
            content = operation.get("requestBody", {"content": {}})["content"]
            body = content.get("application/json", {}).get("example")
            url = path.format(**said["path"])
            response = own.http.request(method, url, params=said["query"], json=body, headers=headers)
            assert str(response.status_code) in operation["responses"], (method, path, response.text)
