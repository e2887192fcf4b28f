"""What a webhook is sent, to whom it may go, and when it is tried again. Pure: `streams.webhooks` does the sending.

The form is that of Standard Webhooks (https://www.standardwebhooks.com): an id that stays the same however often it is tried, a
timestamp, and an HMAC signature with each secret in force, so that a secret can be replaced while both are known.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

import msgspec
from standardwebhooks.webhooks import Webhook as Signer

from ledger.facts import Value
from wire.fields import is_http
from wire.outputs import WEBHOOK_HEADER

#: Seconds between one try and the next; the last counts again and again.
PAUSES_S: Final = (1.0, 5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0)
#: What could not be delivered for so long is dead.
BOUND_S: Final = 86_400.0

Network = IPv4Network | IPv6Network


class Receiver(Value, frozen=True, kw_only=True):
    """Where something is sent, and the name of the secret that signs it."""

    url: str
    secret_id: str


class Receivers(Value, frozen=True, kw_only=True):
    """The file of `SEATSTREAM_WEBHOOKS`. `secrets`: by name, the newest first; `for_all`: who gets every alert; `allow`: networks
    and host names that may be reached though they are not public."""

    secrets: dict[str, tuple[str, ...]]
    for_all: tuple[Receiver, ...] = ()
    allow: tuple[str, ...] = ()

    def networks(self) -> list[Network]:
        return [network for text in self.allow if (network := _network(text)) is not None]

    def may_reach(self, host: str, address: str) -> bool:
        """Whether a host may be talked to at an address: a public one, or one that the file allows."""
        if host in self.allow:
            return True
        ip = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        if any(mapped in network for network in self.networks() if network.version == mapped.version):
            return True
        return bool(mapped.is_global) and not mapped.is_multicast

    def headers(self, receiver: Receiver, message_id: str, at_s: int, body: str) -> dict[str, str]:
        """Those of one try. Raises `ReceiversWrong` where the secret is not known."""
        secrets = self.secrets.get(receiver.secret_id)
        if not secrets:
            raise ReceiversWrong(f"secrets.{receiver.secret_id}: is not there, but a rule names it")
        at = datetime.fromtimestamp(at_s, UTC)
        signatures = " ".join(Signer(secret).sign(message_id, at, body) for secret in secrets)
        return {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": signatures,
        }


class ReceiversWrong(Exception):
    """The file of receivers cannot be used; the message names the field."""


def read_receivers(value: bytes) -> Receivers:
    """The file's content. Raises `ReceiversWrong`, which never shows a secret."""
    try:
        receivers = msgspec.json.decode(value, type=Receivers)
    except msgspec.DecodeError as error:
        raise ReceiversWrong(f"is not what is expected: {error}") from None
    for name, secrets in receivers.secrets.items():
        if not secrets:
            raise ReceiversWrong(f"secrets.{name}: is empty; give at least one secret")
        for number, secret in enumerate(secrets):
            try:
                Signer(secret)
            except Exception:
                raise ReceiversWrong(f"secrets.{name}[{number}]: is no secret; give whsec_ and base64") from None
    for number, receiver in enumerate(receivers.for_all):
        if not is_http(receiver.url):
            raise ReceiversWrong(f"for_all[{number}].url: is no address; give https://..., its host in ASCII")
        if receiver.secret_id not in receivers.secrets:
            raise ReceiversWrong(f"for_all[{number}].secret_id: {receiver.secret_id!r} is not among the secrets")
    return receivers


def body_of(alert: Mapping[str, Any]) -> str:
    """What is sent: the alert as it stands on the topic, and what kind of news it is."""
    said = {"type": f"threshold.{alert['state']}", "timestamp": alert["time"], "data": alert}
    return msgspec.json.encode(said).decode()


def pause_s(tries: int) -> float:
    """How long to wait after so many tries that failed."""
    return PAUSES_S[min(tries, len(PAUSES_S)) - 1]


def receivers_of(headers: Sequence[tuple[str, bytes | None]], for_all: Sequence[Receiver]) -> list[Receiver]:
    """Who gets an alert: whoever its rule names, and whoever gets all of them; nobody twice."""
    named = [msgspec.json.decode(value, type=Receiver) for name, value in headers if name == WEBHOOK_HEADER and value]
    return list(dict.fromkeys([*named, *for_all]))


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
