"""The document says what the server does: its paths are the router's, and whatever it allows is answered as it says."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from tests.ledger.language import facts
from tests.web.cluster import InThread, served
from tests.web.test_api import STORY
from web.openapi import document


async def test_its_paths_are_those_of_the_router() -> None:
    async with served() as server:
        said = {(path, method.upper()) for path, methods in document()["paths"].items() for method in methods}
        routed = {
            (route.resource.canonical, route.method)
            for route in server.app.router.routes()
            if route.resource is not None and route.resource.canonical.startswith("/v1/") and route.method != "HEAD"
        }
        assert said == routed
        assert (await server.get("/openapi.json"))["paths"].keys() == document()["paths"].keys()


def test_every_parameter_is_described() -> None:
    for path, methods in document()["paths"].items():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                assert parameter["in"] == "path" or parameter["description"], (path, parameter["name"])


def test_every_reference_leads_somewhere() -> None:
    written = repr(document())
    for name in set(re.findall(r"#/components/schemas/(\w+)", written)):
        assert name in document()["components"]["schemas"]
    assert "#/$defs" not in written


# --- whatever the document allows ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server on a thread of its own: schemathesis asks without a loop."""
    with InThread() as server:
        server.fold(facts(STORY))
        yield server.url


async def test_a_question_to_another_host_is_answered_as_the_document_says() -> None:
    """Somebody who drew the header `Host: A` was answered 421, of which the document did not speak."""
    async with served() as server:
        assert (await server.raw("GET", "/v1/customers/acme/balances", headers={"Host": "a"}))[0] == 421
    for path in document()["paths"].values():
        assert all({"410", "421"} <= operation["responses"].keys() for operation in path.values())


schema = schemathesis.openapi.from_dict(document())


@pytest.mark.drawn
@schema.parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_that_it_allows_is_our_mistake(case: "schemathesis.Case[Any]", url: str) -> None:
    """No 5xx, and no answer outside the schema. Half of the questions are about somebody that is known."""
    if "customer_id" in case.path_parameters and len(case.path_parameters["customer_id"]) % 2:
        case.path_parameters["customer_id"] = "acme"
    # A schema cannot say what a cursor is, or that `from` comes before `to`; what is refused is seen elsewhere.
    case.call_and_validate(
        base_url=url, excluded_checks=[positive_data_acceptance, negative_data_rejection, ignored_auth]
    )
