"""Who may ask what: a file of tokens, which holds hashes only and is read again when it changes.

A line is a JSON object: `{"name": "billing", "sha256": "...", "scopes": ["read"], "customers": ["acme"]}`; without `customers`
it is good for all of them. Lines that are empty or begin with `#` say nothing.
"""

import logging
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from typing import Final, Literal, get_args

import msgspec

from web.problems import Problem

log = logging.getLogger(__name__)

Scope = Literal["read", "write", "metrics"]
SCOPES: Final = get_args(Scope)
#: How often somebody looks whether the file is another.
LOOK_S: Final = 1.0
#: So that a token is known for one wherever it is found.
BEGINNING: Final = "sst_"


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Somebody who may ask; never the token itself."""

    name: str
    sha256: str
    scopes: frozenset[Scope]
    customers: frozenset[str] | None = None

    def may_see(self, customer_id: str) -> bool:
        return self.customers is None or customer_id in self.customers

    def check_sees(self, customer_id: str) -> None:
        if not self.may_see(customer_id):
            raise Problem(403, "not_this_customer", "this token is for other customers", field="customer_id")

    def check_sees_all(self) -> None:
        if self.customers is not None:
            raise Problem(403, "not_this_customer", "this is about everybody, and this token is for some customers")


#: Where no tokens are asked for, which is on loopback only.
ANYBODY: Final = Token(name="anybody", sha256="", scopes=frozenset(SCOPES))


class TokensUnfit(Exception):
    """The file cannot be used; the message says why."""


def new(name: str, scopes: frozenset[Scope], customers: frozenset[str] | None = None) -> tuple[str, Token]:
    """A token, told once, and what of it is kept."""
    secret = BEGINNING + token_urlsafe(32)
    return secret, Token(name=name, sha256=hash_of(secret), scopes=scopes, customers=customers)


def hash_of(secret: str) -> str:
    # A token is 32 random bytes: nobody finds it by trying, so that one quick round is enough.
    return sha256(secret.encode()).hexdigest()


def line_of(token: Token) -> str:
    plain = msgspec.to_builtins(token)
    return msgspec.json.encode(
        {name: sorted(held) if isinstance(held, list) else held for name, held in plain.items()}
    ).decode()


class Tokens:
    """The tokens of a file. Where it becomes unreadable, those that were read last go on to count."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._known = read(path)
        self._mark = self._look()
        self._looked_at = clock()

    def find(self, secret: str) -> Token | None:
        if self._clock() - self._looked_at >= LOOK_S:
            self._read_again()
        return self._known.get(hash_of(secret))

    def _read_again(self) -> None:
        self._looked_at = self._clock()
        mark = self._look()
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._known = read(self._path)
        except TokensUnfit as error:
            log.error("%s; those that were read before go on to count", error)
        else:
            log.info("%d tokens read from %s", len(self._known), self._path)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def read(path: Path) -> dict[str, Token]:
    """The tokens of a file by their hashes. Raises `TokensUnfit`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise TokensUnfit(f"SEATSTREAM_TOKENS: {path} cannot be read: {error}") from None
    found: dict[str, Token] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            token = msgspec.json.decode(line, type=Token)
        except msgspec.DecodeError as error:
            raise TokensUnfit(f"SEATSTREAM_TOKENS: {path}, line {number}: {error}") from None
        if len(token.sha256) != 64:
            raise TokensUnfit(f"SEATSTREAM_TOKENS: {path}, line {number}: sha256 is not 64 hexadecimal digits")
        found[token.sha256.lower()] = token
    return found
