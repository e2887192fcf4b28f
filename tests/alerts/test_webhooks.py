"""What a webhook is sent, and to whom it may go."""

import base64
import time

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook as Checker

from alerts.webhooks import (
    BOUND_S,
    PAUSES_S,
    Receiver,
    Receivers,
    ReceiversWrong,
    body_of,
    pause_s,
    read_receivers,
    receivers_of,
)
from wire.codec import Unreadable
from wire.outputs import WEBHOOK_HEADER
from wire.rules import Rule, read_rule

NEW, OLD = (f"whsec_{base64.b64encode(name * 4).decode()}" for name in (b"new-secret", b"old-secret"))
CRM = Receiver(url="https://crm.test/hook", secret_id="crm")
ALERT = {"alert_id": "a1", "state": "in_alarm", "time": "2026-03-16T00:00:00Z", "customer_id": "acme"}


def test_whoever_knows_a_secret_in_force_can_check_what_came() -> None:
    receivers = Receivers(secrets={"crm": (NEW, OLD)})
    body, now = body_of(ALERT), int(time.time())

    headers = receivers.headers(CRM, "a1_0_7", now, body)

    for secret in (NEW, OLD):
        assert Checker(secret).verify(body, headers) == {
            "type": "threshold.in_alarm", "timestamp": "2026-03-16T00:00:00Z", "data": ALERT,
        }  # fmt: skip
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("a1_0_7", str(now))
    with pytest.raises(Exception, match="No matching signature"):
        Checker(NEW).verify(body.replace("acme", "evil"), headers)


def test_a_rule_may_name_a_secret_that_is_not_there() -> None:
    with pytest.raises(ReceiversWrong, match=r"secrets\.crm: is not there"):
        Receivers(secrets={}).headers(CRM, "a", 0, "")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"{", "is not what is expected"),
        (b'{"secrets": {"crm": []}}', r"secrets\.crm: is empty"),
        (b'{"secrets": {"crm": [""]}}', r"secrets\.crm\[0\]: is no secret"),
        (b'{"secrets": {"crm": ["whsec_*"]}}', r"secrets\.crm\[0\]: is no secret"),
        (b'{"secrets": {}, "for_all": [{"url": "ftp://x", "secret_id": "crm"}]}', r"for_all\[0\]\.url"),
        (b'{"secrets": {}, "for_all": [{"url": "http://[", "secret_id": "crm"}]}', r"for_all\[0\]\.url"),
        (b'{"secrets": {}, "for_all": [{"url": "https://x", "secret_id": "crm"}]}', r"for_all\[0\]\.secret_id: 'crm'"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_its_field(value: bytes, said: str) -> None:
    with pytest.raises(ReceiversWrong, match=said):
        read_receivers(value)


def test_no_secret_is_in_what_is_said_of_the_file() -> None:
    with pytest.raises(ReceiversWrong) as wrong:
        read_receivers(b'{"secrets": {"crm": ["whsec_c2VjcmV0", "top-secret-!"]}}')
    assert "c2VjcmV0" not in str(wrong.value) and "top-secret" not in str(wrong.value)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"],
)  # fmt: skip
def test_no_private_address_is_reached_unless_the_file_allows_it(address: str) -> None:
    assert not Receivers(secrets={}).may_reach("crm.test", address)
    assert Receivers(secrets={}, allow=("crm.test",)).may_reach("crm.test", address)
    assert not Receivers(secrets={}, allow=("crm.test", "10.9.0.0/16")).may_reach("other.test", address)


def test_public_addresses_and_allowed_networks_are_reached() -> None:
    allowing = Receivers(secrets={}, allow=("10.1.0.0/16", "fc00::/8", "127.0.0.1"))
    assert Receivers(secrets={}).may_reach("crm.test", "93.184.216.34")
    assert Receivers(secrets={}).may_reach("crm.test", "2606:4700::1111")
    for address in ("10.1.255.1", "::ffff:10.1.2.3", "fc00::7", "127.0.0.1"):
        assert allowing.may_reach("crm.test", address)
    assert not allowing.may_reach("crm.test", "10.2.0.1")
    assert not allowing.may_reach("crm.test", "127.0.0.2")


def test_pauses_grow_up_to_a_bound() -> None:
    pauses = [pause_s(tries) for tries in range(1, 20)]
    assert pauses == sorted(pauses) and pauses[0] == PAUSES_S[0] and pauses[-1] == PAUSES_S[-1] < BOUND_S


def test_who_is_named_twice_gets_it_once() -> None:
    other = Receiver(url="https://all.test", secret_id="crm")
    headers = [("trace", b"1"), (WEBHOOK_HEADER, msgspec.json.encode(CRM))]

    assert receivers_of(headers, [other, CRM]) == [CRM, other]
    assert receivers_of([], []) == []


def rule(url: str) -> bytes:
    hook = {"url": url, "secret_id": "crm"}
    held = {"name": "Low", "metric": "balance", "scope": "seat", "levels": ["20"]}
    return msgspec.json.encode({"rule_id": "low", **held, "webhook": hook})


@pytest.mark.parametrize(
    "url",
    ["http://[", "http://", "http:///hook", "http://a:99999/", "http://a:x/", "http://127。0。0。1/", "http://\uff11\uff12\uff17.0.0.1/",
     "http://①27.0.0.1/", "https://bücher.test/"],
)  # fmt: skip
def test_a_rule_whose_webhook_names_no_plain_host_is_refused_when_it_is_read(url: str) -> None:
    read = read_rule(None, rule(url))

    assert isinstance(read, Unreadable)
    assert (read.refusal.code, read.refusal.field) == ("unknown_value", "webhook.url")


@pytest.mark.parametrize("url", ["https://crm.test:8443/hook?a=ü", "http://[::1]:80/", "https://xn--bcher-kva.test/"])
def test_a_rule_may_name_any_host_in_ascii(url: str) -> None:
    assert isinstance(read_rule(None, rule(url)), Rule)
