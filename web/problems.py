"""What goes wrong over HTTP, said as RFC 9457 asks: a problem object that names the field at fault and what to do."""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

#: Where a caller should come again, it is told when.
RETRY_S: Final = 1

TITLES: Final = {
    400: "The question cannot be read",
    401: "Who are you?",
    403: "Not with this token",
    404: "Not known",
    405: "Not this way",
    406: "Not in this form",
    410: "Too long ago",
    413: "Too large",
    415: "Not in this form",
    421: "Not for this host",
    422: "Refused",
    429: "Too many questions",
    500: "Our mistake",
    503: "Not now",
    504: "Not in time",
}


class Problem(Exception):
    """Ends a request with a problem object."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.headers = dict(headers or {})
        self.more = more or {}
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)

    def plain(self) -> dict[str, object]:
        return {
            "type": "about:blank",
            "title": TITLES.get(self.status, "Not possible"),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **({} if self.field is None else {"field": self.field}),
            **self.more,
        }

    def response(self) -> web.Response:
        return web.Response(
            status=self.status,
            body=msgspec.json.encode(self.plain()),
            content_type="application/problem+json",
            headers=self.headers,
        )


class ProblemBody(msgspec.Struct, kw_only=True, omit_defaults=True):
    """As it is on the wire, for the OpenAPI document."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    ids: list[str] | None = None


def unfit(field: str, detail: str, code: str = "unknown_value") -> Problem:
    """A parameter that cannot be used."""
    return Problem(400, code, f"{field} {detail}", field=field)
