"""Who is let in: a token for every path but three, a bound on how often, and no page of somebody else's that asks for us."""

import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from web.problems import Problem
from web.tokens import ANYBODY, BEGINNING, Scope, Token, Tokens

#: These answer without a token.
OPEN: Final = frozenset({"/healthz", "/readyz", "/sign-in"})
COOKIE: Final = "seatstream"
_CALLER: Final = web.RequestKey("caller", Token)

#: Questions a second that one token may ask in the long run, and at once.
RATE: Final = 5_000.0
BURST: Final = 10_000.0
#: The same for those who come without a good token, for each address.
STRANGER_RATE: Final = 5.0
STRANGER_BURST: Final = 20.0
_MOST_BUCKETS: Final = 10_000


def caller(request: web.Request) -> Token:
    """Who asks."""
    return request[_CALLER]


def letting_in(tokens: Tokens | None, clock: Callable[[], float] = time.monotonic) -> Middleware:
    """A middleware. Without tokens everybody is let in who is on this machine and asks by its name."""
    known = Buckets(RATE, BURST, clock)
    strangers = Buckets(STRANGER_RATE, STRANGER_BURST, clock)

    @web.middleware
    async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            _check_same_site(request)
        path = request.match_info.route.resource.canonical if request.match_info.route.resource else request.path
        if tokens is None:
            _check_loopback(request)
            request[_CALLER] = ANYBODY
        elif path not in OPEN:
            request[_CALLER] = _known(request, tokens, strangers, _scope_of(request, path))
        if path not in OPEN and not known.take(caller(request).sha256):
            raise Problem(429, "too_many", f"more than {RATE:,.0f} questions a second", retry_after_s=1)
        return await handler(request)

    return let_in


def _scope_of(request: web.Request, path: str) -> Scope:
    if path == "/metrics":
        return "metrics"
    return "read" if request.method in ("GET", "HEAD") or path == "/sign-out" else "write"


def _known(request: web.Request, tokens: Tokens, strangers: "Buckets", scope: Scope) -> Token:
    secret = secret_of(request)
    token = None if secret is None else tokens.find(secret)
    if token is None:
        if not strangers.take(request.remote or ""):
            raise Problem(429, "too_many", "too many questions without a token that counts", retry_after_s=5)
        said = "send a token, as `Authorization: Bearer ...` or `X-Api-Key: ...`"
        said = said if secret is None else "this token does not count; `seatstream token` makes one"
        raise Problem(401, "no_token", said, headers={"WWW-Authenticate": 'Bearer realm="seatstream"'})
    if scope not in token.scopes:
        raise Problem(403, "no_scope", f"this token has not the scope {scope}")
    return token


def secret_of(request: web.Request) -> str | None:
    """The token of a request: from a header, or from the cookie that the view's sign-in leaves."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and secret.strip():
        return secret.strip()
    found = request.headers.get("X-Api-Key") or request.cookies.get(COOKIE)
    return found.strip() if found else None


def over_tls(request: web.Request) -> bool:
    """Whether a browser came over TLS, whoever ended it before us. A caller who lies about it gets a cookie that is no good to
    them."""
    proxy = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip()
    return request.secure or proxy == "https" or request.headers.get("Origin", "").startswith("https://")


def _check_same_site(request: web.Request) -> None:
    """A page of another site may make a browser send what it likes, with our cookie or from our machine."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin.partition("://")[2] != request.headers.get("Host")
    if site not in ("same-origin", "none") or foreign:
        raise Problem(403, "other_site", "a page of another site asks for this")


def _check_loopback(request: web.Request) -> None:
    """Somebody's own name may resolve to this machine: a browser would let their page read our answers."""
    if not _is_loopback(request.headers.get("Host", "")):
        raise Problem(421, "not_loopback", "without tokens only this machine is answered, by its loopback address")


@lru_cache(maxsize=1_000)
def _is_loopback(host: str) -> bool:
    name = host.rsplit(":", 1)[0].strip("[]") if not host.endswith("]") else host.strip("[]")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


class Buckets:
    """A bound on how often, for each of many: a bucket that fills at `rate` a second and holds `burst`."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, whose: str) -> bool:
        now = self._clock()
        left, since = self._held.pop(whose, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        # Those who came last stay; whoever is forgotten has a full bucket again.
        self._held[whose] = (left - 1 if left >= 1 else left, now)
        if len(self._held) > _MOST_BUCKETS:
            self._held.popitem(last=False)
        return left >= 1


__all__ = ["BEGINNING", "COOKIE", "OPEN", "Buckets", "caller", "letting_in", "over_tls", "secret_of"]
