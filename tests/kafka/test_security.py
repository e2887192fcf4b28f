"""Kafka over TLS and SASL: worker and facts reach it with every mechanism that the settings name, and not without."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from streams.broker import HOST, Broker, _free_ports, _java
from streams.kafka_jars import class_path
from streams.settings import read
from tests.kafka.scene import ROOT, Scene

USER, PASSWORD, KEY_PASSWORD = "worker", "open sesame", "close sesame"


class Safe(NamedTuple):
    """A broker with three doors: one for the tests, one that wants a password, one that wants a certificate."""

    open: str
    sasl: str
    mutual: str
    files: Path


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Safe]:
    files = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    server, client = authority.issue_cert(HOST), authority.issue_cert("worker.test")
    authority.cert_pem.write_to_path(files / "ca.pem")
    trustme.CA().cert_pem.write_to_path(files / "other-ca.pem")
    (files / "server.pem").write_bytes(_key(server) + b"".join(pem.bytes() for pem in server.cert_chain_pems))
    (files / "client.pem").write_bytes(b"".join(pem.bytes() for pem in client.cert_chain_pems))
    (files / "client.key").write_bytes(_key(client, KEY_PASSWORD))
    (files / "password").write_text(f"{PASSWORD}\n")
    sasl, mutual = _free_ports(2)
    also = _door("sasl", "SASL_SSL", sasl, files) | _sasl("sasl") | {"listener.name.sasl.ssl.client.auth": "none"}
    more = _door("mutual", "SSL", mutual, files) | {"listener.name.mutual.ssl.client.auth": "required"}
    lists = ("listeners", "advertised.listeners", "listener.security.protocol.map")
    also = also | more | {name: f"{also[name]},{more[name]}" for name in lists}
    with Broker(also=also) as broker:
        _remember(broker.bootstrap)
        yield Safe(broker.bootstrap, f"{HOST}:{sasl}", f"{HOST}:{mutual}", files)


def _key(cert: trustme.LeafCert, password: str | None = None) -> bytes:
    """As Kafka wants it."""
    key = load_pem_private_key(cert.private_key_pem.bytes(), None)
    lock = NoEncryption() if password is None else BestAvailableEncryption(password.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def _door(name: str, protocol: str, port: int, files: Path) -> dict[str, str]:
    return {
        "listeners": f"{name.upper()}://{HOST}:{port}",
        "advertised.listeners": f"{name.upper()}://{HOST}:{port}",
        "listener.security.protocol.map": f"{name.upper()}:{protocol}",
        f"listener.name.{name}.ssl.keystore.type": "PEM",
        f"listener.name.{name}.ssl.keystore.location": str(files / "server.pem"),
        f"listener.name.{name}.ssl.truststore.type": "PEM",
        f"listener.name.{name}.ssl.truststore.location": str(files / "ca.pem"),
    }


def _sasl(name: str) -> dict[str, str]:
    module = "org.apache.kafka.common.security"
    scram = f"{module}.scram.ScramLoginModule required;"
    return {
        f"listener.name.{name}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        f"listener.name.{name}.plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required"
        f' user_{USER}="{PASSWORD}";',
        f"listener.name.{name}.scram-sha-256.sasl.jaas.config": scram,
        f"listener.name.{name}.scram-sha-512.sasl.jaas.config": scram,
    }


def _remember(bootstrap: str) -> None:
    """Tells Kafka who we are, for SCRAM."""
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        _configure(bootstrap, f"{mechanism}=[password={PASSWORD}]")


def _configure(bootstrap: str, config: str) -> None:
    subprocess.run(
        [_java(), "-cp", os.pathsep.join(map(str, class_path())), "kafka.admin.ConfigCommand", "--bootstrap-server",
         bootstrap, "--alter", "--add-config", config, "--entity-type", "users", "--entity-name", USER],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip


def settings(safe: Safe, way: str) -> dict[str, str]:
    """What a worker is told so that it comes in by this way."""
    kafka = {"SSL_CAFILE": str(safe.files / "ca.pem")}
    if way == "mutual":
        kafka |= {
            "SECURITY_PROTOCOL": "SSL",
            "SSL_CERTFILE": str(safe.files / "client.pem"),
            "SSL_KEYFILE": str(safe.files / "client.key"),
            "SSL_PASSWORD": KEY_PASSWORD,
        }
    else:
        kafka |= {
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_MECHANISM": way,
            "SASL_PLAIN_USERNAME": USER,
            "SASL_PLAIN_PASSWORD_FILE": str(safe.files / "password"),
        }
    broker = {"SEATSTREAM_BROKER": f"kafka://{safe.mutual if way == 'mutual' else safe.sasl}"}
    return broker | {f"SEATSTREAM_KAFKA_{name}": value for name, value in kafka.items()}


def seatstream(command: str, environment: Mapping[str, str], said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "streams", command],
        cwd=ROOT, env={**os.environ, **environment}, input=said, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "mutual"])
async def test_facts_are_published_and_folded(safe: Safe, prefix: str, tmp_path: Path, way: str) -> None:
    scene = Scene(safe.open, prefix, tmp_path, partitions=2)
    scene.program = "tests.kafka.ledger_worker"
    scene.settings = settings(safe, way) | {"SEATSTREAM_LATENESS": "P36500D"}
    facts = [
        {"type": "contract.created", "id": "k", "customer_id": "acme", "contract_id": "c", "time": "2026-03-01T00:00:00Z",
         "grants": [{"grant_id": "g", "amount": "10"}]},
        {"id": "b", "customer_id": "acme", "amount": "4", "time": "2026-03-02T00:00:00Z"},
    ]  # fmt: skip
    worker = scene.worker("a")
    try:
        await worker.folds()
        published = seatstream(
            "facts",
            {**scene.settings, "SEATSTREAM_PREFIX": prefix, "SEATSTREAM_PARTITIONS": "2"},
            b"\n".join(map(orjson.dumps, facts)),
        )
        assert published.returncode == 0, published.stderr
        await scene.prepare()
        await scene.folded()
        assert await worker.stop() == 0
    finally:
        scene.end()
    said = [orjson.loads(record.value) for record in await scene.read("history-snapshot")]
    # In two batches, the burn corrects what the first one said.
    assert said[-1]["customer_id"] == "acme"
    assert said[-1]["balance"] == "6"
    assert await scene.read("dead-letter") == []
    written = worker.log.read_text()
    assert PASSWORD not in written and KEY_PASSWORD not in written


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"SASL_PLAIN_PASSWORD_FILE": "", "SASL_PLAIN_PASSWORD": "open barley"}, "Authentication"),
        ({"SSL_CAFILE": "other-ca.pem"}, "does not answer"),
        ({"SSL_CAFILE": ""}, "does not answer"),
    ],
)
def test_who_is_not_let_in_or_does_not_believe_it_ends_and_says_so(
    safe: Safe, prefix: str, tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    named = {f"SEATSTREAM_KAFKA_{name}": value for name, value in wrong.items()}
    if wrong.get("SSL_CAFILE"):
        named["SEATSTREAM_KAFKA_SSL_CAFILE"] = str(safe.files / wrong["SSL_CAFILE"])
    environment = settings(safe, "PLAIN") | named | {"SEATSTREAM_PREFIX": prefix, "SEATSTREAM_DATA": str(tmp_path)}

    ended = seatstream("worker", environment)

    assert ended.returncode == 1
    assert said.encode() in ended.stderr, ended.stderr
    assert b"barley" not in ended.stderr + ended.stdout


def test_every_client_is_given_the_same_security(safe: Safe) -> None:
    kafka = read(settings(safe, "SCRAM-SHA-512")).kafka()

    assert (kafka["security_protocol"], kafka["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (kafka["sasl_plain_username"], kafka["sasl_plain_password"]) == (USER, PASSWORD)
