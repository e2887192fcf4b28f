"""The flat form of a burn, as nearly every message has it. Alone in its file, because `wire.burns` is compiled (`setup.py`)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from wire.fields import ID_LENGTH, NAME_LENGTH

_Id = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH)]
_Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH)]


class Burn(msgspec.Struct, gc=False):
    id: _Id
    customer_id: _Name
    time: str
    #: As it was sent, with its quotes if it has any: no number passes through a float.
    amount: Raw
    contract_id: _Name | None = None
    seat_id: _Name | None = None
    seat_group_key: _Name | None = None
    credit_type: _Name | None = None
    #: Empty where it was left out. (`Raw | None` would take nothing but null.)
    properties: Raw = Raw()
    on_unknown: Literal["wait", "refuse"] | None = None
    type: Literal["credit.burned"] | None = None
    #: A CloudEvent takes the other way.
    specversion: None = None


class Properties(msgspec.Struct):
    properties: Raw
