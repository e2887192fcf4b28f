"""Whom the door lets in, and what every answer carries."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.ledger.language import facts
from tests.web.cluster import Server, Stage, served
from web import letting_in
from web.letting_in import Buckets
from web.tokens import Tokens, TokensUnfit, hash_of, line_of, new, read

READER, READ = new("reader", frozenset({"read"}))
WRITER, WRITE = new("writer", frozenset({"write"}))
SCRAPER, SCRAPE = new("scraper", frozenset({"metrics"}))
ACME_ONLY, OF_ACME = new("acme's own", frozenset({"read", "write"}), frozenset({"acme"}))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def keep(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["# who may ask what", "", *lines]))
    return path


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return keep(tmp_path / "tokens", *map(line_of, (READ, WRITE, SCRAPE, OF_ACME)))


@pytest.fixture
async def guarded(tokens: Path) -> AsyncIterator[Server]:
    async with Stage() as stage:
        for fact, arrived_at in facts("grant gift 1"):
            for customer_id in ("acme", "other"):
                stage.shared.fold([msgspec.structs.replace(fact, customer_id=customer_id)], arrived_at)
        yield await stage.serve(tokens)


async def test_every_path_but_three_asks_for_a_token(guarded: Server) -> None:
    """As the router lists them, with whatever method."""
    open_paths = set()
    for route in guarded.app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical.replace("{", "").replace("}", "")
        status, _, _ = await guarded.raw(route.method, path, allow_redirects=False)
        if status not in (401, 429):
            open_paths.add(route.resource.canonical)
    assert open_paths <= {"/healthz", "/readyz", "/sign-in"} and "/healthz" in open_paths


async def test_a_path_that_is_none_asks_too(guarded: Server) -> None:
    """Or somebody without a token would learn which there are."""
    assert (await guarded.raw("GET", "/v1/nothing"))[0] == 401


async def test_a_token_as_bearer_and_as_key(guarded: Server) -> None:
    for headers in (bearer(READER), {"X-Api-Key": READER}, {"Authorization": f"bearer  {READER} "}):
        assert (await guarded.get("/v1/customers/acme", headers=headers))["data"]["customer_id"] == "acme"
    for headers in (bearer("sst_wrong"), {"X-Api-Key": ""}, {"Authorization": "Basic abc"}, bearer(READ.sha256)):
        status, answered, text = await guarded.raw("GET", "/v1/customers/acme", headers=headers)
        assert status == 401 and "Bearer" in answered["WWW-Authenticate"]
        assert msgspec.json.decode(text)["code"] == "no_token"


async def test_a_scope_is_good_for_its_own_paths(guarded: Server) -> None:
    assert (await guarded.raw("GET", "/metrics", headers=bearer(SCRAPER)))[0] == 200
    for secret, path in ((SCRAPER, "/v1/customers"), (WRITER, "/v1/customers"), (READER, "/metrics")):
        status, _, text = await guarded.raw("GET", path, headers=bearer(secret))
        assert status == 403 and msgspec.json.decode(text)["code"] == "no_scope"


async def test_a_token_of_one_customer_sees_that_one(guarded: Server) -> None:
    headers = bearer(ACME_ONLY)
    assert (await guarded.get("/v1/customers/acme/balances", headers=headers))["data"]
    problem = await guarded.get("/v1/customers/other/balances", 403, headers=headers)
    assert problem["code"] == "not_this_customer"
    rows = (await guarded.get("/v1/customers", headers=headers))["data"]
    assert [row["customer_id"] for row in rows] == ["acme"]


async def test_a_changed_file_counts_at_once(guarded: Server, tokens: Path) -> None:
    secret, token = new("new", frozenset({"read"}))
    assert (await guarded.raw("GET", "/v1/customers", headers=bearer(secret)))[0] == 401
    keep(tokens, line_of(token))
    assert (await guarded.raw("GET", "/v1/customers", headers=bearer(secret)))[0] == 200
    assert (await guarded.raw("GET", "/v1/customers", headers=bearer(READER)))[0] == 401


async def test_a_file_that_becomes_unreadable_changes_nothing(guarded: Server, tokens: Path) -> None:
    keep(tokens, "no json")
    assert (await guarded.raw("GET", "/v1/customers", headers=bearer(READER)))[0] == 200
    keep(tokens).unlink()
    assert (await guarded.raw("GET", "/v1/customers", headers=bearer(READER)))[0] == 200


async def test_trying_tokens_is_slow(guarded: Server) -> None:
    statuses = [(await guarded.raw("GET", "/v1/customers", headers=bearer(f"sst_{n}")))[0] for n in range(40)]
    assert statuses[0] == 401 and statuses[-1] == 429


async def test_without_tokens_only_this_machine_is_answered() -> None:
    """A name of somebody else's that leads here (DNS rebinding) is not ours."""
    async with served() as server:
        assert (await server.raw("GET", "/v1/customers"))[0] == 200
        assert (await server.raw("GET", "/v1/customers", headers={"Host": "localhost:6066"}))[0] == 200
        assert (await server.raw("GET", "/v1/customers", headers={"Host": "[::1]:6066"}))[0] == 200
        for host in ("evil.example", "evil.example:80", "10.0.0.1"):
            assert (await server.raw("GET", "/v1/customers", headers={"Host": host}))[0] == 421


@pytest.mark.parametrize("path", ["/healthz", "/v1/customers", "/v1/nothing", "/openapi.json"])
async def test_every_answer_tells_browsers_to_be_careful(path: str) -> None:
    async with served() as server:
        _, headers, _ = await server.raw("GET", path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store" and headers["Server"] == "SeatStream"


async def test_health_and_readiness() -> None:
    async with served() as server:
        assert (await server.raw("GET", "/readyz"))[0] == 200
        server.worker.why_not_ready = "recovering partition 3"
        assert (await server.raw("GET", "/readyz"))[::2] == (503, "recovering partition 3\n")
        assert (await server.raw("GET", "/healthz"))[0] == 200


async def test_our_mistakes_tell_nothing_of_themselves(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as server:

        def fail() -> None:
            raise RuntimeError("the secret of the house")

        server.worker.meanwhile = fail
        _, _, text = await server.raw("GET", "/v1/customers")
        assert msgspec.json.decode(text)["status"] == 500 and "secret" not in text and "Traceback" not in text
    assert "the secret of the house" in caplog.text


def test_a_bucket_holds_a_burst_and_fills_again() -> None:
    now = [0.0]
    buckets = Buckets(rate=2.0, burst=3.0, clock=lambda: now[0])

    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b")
    now[0] = 0.5
    assert [buckets.take("a") for _ in range(2)] == [True, False]


def test_so_many_buckets_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letting_in, "_MOST_BUCKETS", 2)
    buckets = Buckets(rate=0.001, burst=1.0, clock=lambda: 0.0)
    assert [buckets.take(whose) for whose in ("a", "b", "a", "c", "b", "a")] == [True, True, False, True, True, True]


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_file_holds_no_token() -> None:
    secret, token = new("x", frozenset({"read", "write"}), frozenset({"a b", '"'}))

    assert secret not in line_of(token) and hash_of(secret) == token.sha256
    assert msgspec.json.decode(line_of(token), type=type(token)) == token


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("no json", "line 3"),
        ('{"name": "x", "sha256": "ab", "scopes": ["read"]}', "64"),
        ('{"name": "x", "sha256": "' + "a" * 64 + '", "scopes": ["all"]}', "scopes"),
        ('{"name": "x", "sha256": "' + "a" * 64 + '", "scopes": [], "customer": ["acme"]}', "customer"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(TokensUnfit, match=why):
        read(keep(tmp_path / "tokens", line))


def test_the_file_is_looked_at_now_and_then(tmp_path: Path) -> None:
    now = [0.0]
    path = keep(tmp_path / "tokens", line_of(READ))
    tokens = Tokens(path, clock=lambda: now[0])
    keep(path, line_of(WRITE))
    os.utime(path, ns=(1, 1))

    assert tokens.find(READER) == READ
    now[0] = 1.0
    assert tokens.find(READER) is None and tokens.find(WRITER) == WRITE
