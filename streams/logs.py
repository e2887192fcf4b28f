"""The log of a worker: one event a line with its ids, as text or as JSON; no secret, whoever would say it.

What belongs to an event is named: `log.warning("...", extra={"fact_id": ...})`. In JSON these are fields of their own; the
text says them in its sentence.
"""

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

#: How often a complaint about Kafka is worth a line, and whose.
AGAIN_S = 10
COMPLAINERS = ("aiokafka", "streams.ticker")
#: Shorter ones are no secrets, and would be found in half of all words.
SECRET_LENGTH = 4

_USUAL = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def begin(loglevel: str, form: Literal["text", "json"] = "text", secrets: Sequence[str] = ()) -> None:
    """Our own events in full; of the machinery only what needs somebody's eye, unless asked for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(secrets) if form == "json" else TextLines(secrets))
    logging.basicConfig(level=loglevel.upper(), handlers=[handler], force=True)
    if loglevel != "debug":
        handler.addFilter(_Patience())
        for name in ("faust", "mode", "aiokafka"):
            logging.getLogger(name).setLevel(logging.WARNING)


class _Lines(logging.Formatter):
    """What all forms have in common: the instant in UTC, and what is hidden."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = sorted((one for one in secrets if len(one) >= SECRET_LENGTH), key=len, reverse=True)

    def _at(self, record: logging.LogRecord) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "(hidden)")
        return text

    def _traceback(self, record: logging.LogRecord) -> str | None:
        return self._hidden(self.formatException(record.exc_info)) if record.exc_info else None


class TextLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        # An id may hold a line feed, and whoever sends it could write lines of their own.
        said = self._hidden(record.getMessage()).replace("\r", "\\r").replace("\n", "\\n")
        traceback = self._traceback(record)
        below = "" if traceback is None else "\n" + "\n".join(f"    {line}" for line in traceback.splitlines())
        return f"{self._at(record)} {record.levelname:<7} {record.name}: {said}{below}"


class JsonLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": self._at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._hidden(record.getMessage()),
        }
        said |= {
            name: self._hidden(value) if isinstance(value, str) else value
            for name, value in record.__dict__.items()
            if name not in _USUAL
        }
        if (traceback := self._traceback(record)) is not None:
            said["traceback"] = traceback
        return json.dumps(said, ensure_ascii=False, default=str)


class _Patience(logging.Filter):
    """While a broker is away its clients say so dozens of times a second; once in a while is enough."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(COMPLAINERS):
            return True
        what = record.name, str(record.msg)
        said = self._said.get(what)
        if said is not None and record.created < said + AGAIN_S:
            return False
        self._said[what] = record.created
        return True
