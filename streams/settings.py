"""The settings: read once from the environment, checked at once, handed on as values.

`seatstream settings` prints them with what is in force.
"""

import argparse
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from streams.journal import Obeyed
from wire.topics import Topics

_SECOND_MS = 1000
_UNITS_MS = {
    "W": 604_800 * _SECOND_MS,
    "D": 86_400 * _SECOND_MS,
    "H": 3_600 * _SECOND_MS,
    "M": 60 * _SECOND_MS,
    "S": _SECOND_MS,
}


class SettingsWrong(Exception):
    """Every setting that cannot be used, a sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is in force."""

    broker: tuple[str, ...]
    prefix: str
    partitions: int
    replication: int
    data: Path
    web_host: str
    web_port: int
    web_url: str | None
    tokens: Path | None
    clock: Literal["system", "topic"]
    lateness_ms: int
    wait_ms: int
    ahead_ms: int
    snapshot_ms: int
    webhooks: Path | None
    history_ms: int
    session_ms: int
    security_protocol: str
    sasl_mechanism: str
    sasl_username: str | None
    sasl_password: str | None = field(repr=False)
    ssl_cafile: Path | None
    ssl_certfile: Path | None
    ssl_keyfile: Path | None
    ssl_password: str | None = field(repr=False)
    log: Literal["text", "json"]

    @property
    def group(self) -> str:
        """The consumer group, and the beginning of each partition's transactional id."""
        return f"{self.prefix}seatstream"

    @property
    def url(self) -> str:
        """Where the other workers reach this one."""
        if self.web_url is not None:
            return self.web_url
        host = socket.gethostname() if self.web_host in ("0.0.0.0", "::") else self.web_host
        return f"http://[{host}]:{self.web_port}" if ":" in host else f"http://{host}:{self.web_port}"

    @property
    def topics(self) -> Topics:
        return Topics(
            prefix=self.prefix,
            partitions=self.partitions,
            replication=self.replication,
            history_ms=self.history_ms,
        )

    @property
    def obeyed(self) -> Obeyed:
        """What decides what a fold says."""
        return Obeyed(
            clock=self.clock,
            lateness_ms=self.lateness_ms,
            wait_ms=self.wait_ms,
            ahead_ms=self.ahead_ms,
            snapshot_ms=self.snapshot_ms,
            history_ms=self.history_ms,
        )

    def kafka(self) -> dict[str, Any]:
        """How every client of ours reaches Kafka, in aiokafka's words."""
        options: dict[str, Any] = {"bootstrap_servers": list(self.broker), "security_protocol": self.security_protocol}
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL"):
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        return options

    def _ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ssl_cafile)
        if self.ssl_certfile is not None:
            # A password is always given: without one, a locked key would ask for it at the terminal.
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, self.ssl_password or "")
        return context

    def secrets(self) -> list[str]:
        """What nobody may read in a log."""
        return [secret for secret in (self.sasl_password, self.ssl_password) if secret]

    def at_odds(self) -> list[str]:
        """What is wrong between settings that are each right by themselves."""
        wrong = []
        if self.security_protocol.startswith("SASL"):
            wrong += [
                f"{variable}: is needed for {self.security_protocol}"
                for variable, value in (
                    ("SEATSTREAM_KAFKA_SASL_PLAIN_USERNAME", self.sasl_username),
                    ("SEATSTREAM_KAFKA_SASL_PLAIN_PASSWORD", self.sasl_password),
                )
                if value is None
            ]
        if self.security_protocol.endswith("SSL"):
            try:
                self._ssl_context()
            except (OSError, ValueError) as error:
                wrong.append(f"SEATSTREAM_KAFKA_SSL_...: the files cannot be used: {error}")
        if self.tokens is None and not _is_loopback(self.web_host):
            wrong.append(f"SEATSTREAM_WEB: without SEATSTREAM_TOKENS only loopback, such as 127.0.0.1:{self.web_port}")
        return wrong


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: its default as it would be written, and how it is read."""

    variable: str
    default: str
    meaning: str
    read: Callable[[str], dict[str, Any]]
    secret: bool = False


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this environment, or `SettingsWrong` with everything that is wrong in it."""
    values: dict[str, Any] = {}
    wrong = []
    for setting in SETTINGS:
        try:
            found = setting.read(environ.get(setting.variable, setting.default).strip())
            if any(values.get(name) is not None for name in found):
                raise ValueError("holds what another setting gives already; set one of the two")
            values.update(found)
        except ValueError as error:
            wrong.append(f"{setting.variable}: {error}")
    known = {setting.variable for setting in SETTINGS}
    wrong += [
        f"{name}: there is no such setting; `seatstream settings` lists them"
        for name in sorted(environ)
        if name.startswith("SEATSTREAM_") and name not in known and not name.startswith("SEATSTREAM_TEST_")
    ]
    if wrong:
        raise SettingsWrong("\n".join(wrong))
    settings = Settings(**values)
    wrong = settings.at_odds()
    if wrong:
        raise SettingsWrong("\n".join(wrong))
    return settings


def duration_ms(text: str) -> int:
    """An ISO 8601 duration of one unit that has a fixed length, in milliseconds."""
    match = re.fullmatch(r"P(?:(\d+)([WD])|T(\d+)([HMS]))", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write P34D, PT1H, PT10M or PT30S")
    number, unit = (match[1], match[2]) if match[1] else (match[3], match[4])
    return int(number) * _UNITS_MS[unit]


# --- how each is read ------------------------------------------------------------------------------------------------


def _broker(text: str) -> dict[str, Any]:
    servers = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        address = part.removeprefix("kafka://")
        host, port = _host_and_port(address, default_port=9092)
        servers.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    if not servers:
        raise ValueError("names no broker; write kafka://host:9092, several separated by ;")
    return {"broker": tuple(servers)}


def _host_and_port(address: str, default_port: int | None = None) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port or default_port
    except ValueError:
        host = port = None
    if "@" in address:
        # Not shown: it may hold a password.
        raise ValueError(
            "holds an @; a host and a port are needed, and who we are goes into SEATSTREAM_KAFKA_SASL_PLAIN_..."
        )
    if not host or not port or parts.path or parts.query or re.search(r"\s", address):
        raise ValueError(f"{address!r} is not a host and a port; write 127.0.0.1:9092")
    return host, port


def _web(text: str) -> dict[str, Any]:
    host, port = _host_and_port(text)
    return {"web_host": host, "web_port": port}


def _url(text: str) -> dict[str, Any]:
    if not text:
        return {"web_url": None}
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and not (parts.path.strip("/") or parts.query)
    except ValueError:
        fits = False
    if not fits or "@" in text:
        raise ValueError(f"{text!r} is no address of a worker; write http://10.0.0.7:6066")
    return {"web_url": text.rstrip("/")}


def _prefix(text: str) -> dict[str, Any]:
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", text):
        raise ValueError(f"{text!r} cannot begin a topic's name; use letters, digits, '.', '_' and '-', at most 100")
    return {"prefix": text}


def _whole(name: str, least: int, most: int) -> Callable[[str], dict[str, Any]]:
    def read_whole(text: str) -> dict[str, Any]:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ValueError(f"{text!r} is not a whole number from {least:,} to {most:,}")
        return {name: int(text)}

    return read_whole


def _duration(name: str, least: str, most: str = "P36500D") -> Callable[[str], dict[str, Any]]:
    def read_duration(text: str) -> dict[str, Any]:
        if duration_ms(text) < duration_ms(least):
            raise ValueError(f"{text} is too short; at least {least}")
        if duration_ms(text) > duration_ms(most):
            raise ValueError(f"{text} is too long; at most {most}")
        return {name: duration_ms(text)}

    return read_duration


def _choice(name: str, *choices: str) -> Callable[[str], dict[str, Any]]:
    def read_choice(text: str) -> dict[str, Any]:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return {name: text}

    return read_choice


def _file(name: str) -> Callable[[str], dict[str, Any]]:
    def read_file(text: str) -> dict[str, Any]:
        if not text:
            return {name: None}
        path = Path(text).expanduser()
        if not path.is_file():
            raise ValueError(f"{text} is not a file that can be read")
        return {name: path}

    return read_file


def _data(text: str) -> dict[str, Any]:
    path = Path(text or ".").expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError(f"{text} is a file; a directory is needed")
    return {"data": path}


def _maybe(name: str) -> Callable[[str], dict[str, Any]]:
    return lambda text: {name: text or None}


def _held_by(name: str) -> Callable[[str], dict[str, Any]]:
    """A secret that is in a file of its own, as orchestrators hand them over."""

    def read_held(text: str) -> dict[str, Any]:
        if not text:
            return {}
        try:
            secret = Path(text).expanduser().read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"{text} is not a file of text that can be read") from None
        if not secret:
            raise ValueError(f"{text} is empty")
        return {name: secret}

    return read_held


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


SETTINGS = (
    Setting("SEATSTREAM_BROKER", "kafka://127.0.0.1:9092", "one or more, separated by ;", _broker),
    Setting("SEATSTREAM_PREFIX", "", "before every topic and the consumer group", _prefix),
    Setting("SEATSTREAM_PARTITIONS", "8", "of every topic, when it creates them", _whole("partitions", 1, 1000)),
    Setting("SEATSTREAM_REPLICATION", "1", "likewise", _whole("replication", 1, 9)),
    Setting("SEATSTREAM_DATA", "./data", "where RocksDB lives; each worker needs its own", _data),
    Setting("SEATSTREAM_WEB", "127.0.0.1:6066", "host and port of the view and the HTTP", _web),
    Setting("SEATSTREAM_URL", "", "where other workers reach this one; none: as SEATSTREAM_WEB says", _url),
    Setting("SEATSTREAM_TOKENS", "", "a file of tokens with scopes; none: loopback only", _file("tokens")),
    Setting(
        "SEATSTREAM_CLOCK",
        "system",
        "what moves time: system or topic; chosen once",
        _choice("clock", "system", "topic"),
    ),
    Setting("SEATSTREAM_LATENESS", "P34D", "how late a fact may come; chosen once", _duration("lateness_ms", "PT1S")),
    Setting("SEATSTREAM_WAIT", "PT10M", "how long a fact waits for what it names", _duration("wait_ms", "PT0S")),
    Setting("SEATSTREAM_AHEAD", "PT24H", "how far ahead of the clock a burn may be", _duration("ahead_ms", "PT0S")),
    Setting("SEATSTREAM_SNAPSHOT", "PT1H", "how often a moved scope is published", _duration("snapshot_ms", "PT1S")),
    Setting("SEATSTREAM_WEBHOOKS", "", "a file of endpoints and secrets", _file("webhooks")),
    Setting(
        "SEATSTREAM_HISTORY",
        "P92D",
        "how long burns stay single, and what a contract came to after its end",
        _duration("history_ms", "P1D"),
    ),
    Setting(
        "SEATSTREAM_SESSION",
        "PT20S",
        "silence that costs a worker its partitions",
        # Kafka's brokers take no longer one unless told to.
        _duration("session_ms", "PT6S", "PT30M"),
    ),
    Setting("SEATSTREAM_CACHE", "", "where the embedded Kafka is kept; none: the user's cache", lambda text: {}),
    Setting(
        "SEATSTREAM_KAFKA_SECURITY_PROTOCOL",
        "PLAINTEXT",
        "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
        _choice("security_protocol", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    ),
    Setting(
        "SEATSTREAM_KAFKA_SASL_MECHANISM",
        "PLAIN",
        "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
        _choice("sasl_mechanism", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    ),
    Setting("SEATSTREAM_KAFKA_SASL_PLAIN_USERNAME", "", "who we are", _maybe("sasl_username")),
    Setting("SEATSTREAM_KAFKA_SASL_PLAIN_PASSWORD", "", "and how we prove it", _maybe("sasl_password"), secret=True),
    Setting("SEATSTREAM_KAFKA_SASL_PLAIN_PASSWORD_FILE", "", "or a file that holds it", _held_by("sasl_password")),
    Setting("SEATSTREAM_KAFKA_SSL_CAFILE", "", "whom we believe; none: the machine's own list", _file("ssl_cafile")),
    Setting("SEATSTREAM_KAFKA_SSL_CERTFILE", "", "our certificate", _file("ssl_certfile")),
    Setting("SEATSTREAM_KAFKA_SSL_KEYFILE", "", "its key", _file("ssl_keyfile")),
    Setting("SEATSTREAM_KAFKA_SSL_PASSWORD", "", "the key's password", _maybe("ssl_password"), secret=True),
    Setting("SEATSTREAM_KAFKA_SSL_PASSWORD_FILE", "", "or a file that holds it", _held_by("ssl_password")),
    Setting("SEATSTREAM_LOG", "text", "how a worker's log is written: text or json", _choice("log", "text", "json")),
)


# --- `seatstream settings` -------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(args: argparse.Namespace) -> int:
    """Prints what is in force; 1 and every reason where the worker would not start."""
    print(in_force(os.environ))
    try:
        read()
    except SettingsWrong as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def in_force(environ: Mapping[str, str]) -> str:
    """A line for each setting: its value, whether it was set, what it means. Secrets stay hidden."""
    rows = []
    for setting in SETTINGS:
        value = environ.get(setting.variable, setting.default).strip()
        shown = "(hidden)" if value and (setting.secret or "@" in value) else value or "(empty)"
        rows.append((setting.variable, shown, "set" if setting.variable in environ else "default", setting.meaning))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    )
