"""Facts of `credit-burn`, the hot topic: one way that is quick, and one that explains.

The quick way takes the flat form as nearly every burn has it, and gives up (None) at anything else; then the other way
reads the message and says what is wrong, if anything is. Both read the same fact from the same bytes.
"""

from typing import Final

import msgspec

from ledger import amounts, instants
from ledger.amounts import Amount
from ledger.facts import CREDITS, SEAT_ID, BurnVoided, CreditBurn
from ledger.instants import Instant
from wire.burn_shape import Burn, Properties
from wire.fields import DEPTH_MOST, IDENTITY_LENGTH, Common, Fields

TYPES: Final = ("credit.burned", "burn.voided")

#: What the short ways remember, each; then they forget it all and begin again.
REMEMBERED = 10_000
#: Beyond this a message is rare enough for the other way.
QUICK_BYTES = 4_096


def credit_burn(fields: Fields, common: Common, data: bytes) -> CreditBurn | BurnVoided:
    """A burn, or one taken back; `data` is the JSON object that holds the fact's own fields."""
    if fields.choice_or("type", TYPES, "credit.burned") == "burn.voided":
        return BurnVoided(**common, burn_id=fields.text("burn_id", IDENTITY_LENGTH))
    properties = fields.object("properties")
    return CreditBurn(
        **common,
        contract_id=fields.maybe_text("contract_id"),
        seat_id=fields.maybe_text("seat_id"),
        seat_group_key=fields.maybe_text("seat_group_key") or SEAT_ID,
        credit_type=fields.maybe_text("credit_type") or CREDITS,
        amount=fields.amount("amount", least=1),
        properties=None if properties is None else _properties_of(data).properties,
    )


def quick_burn(value: bytes) -> CreditBurn | None:
    """The burn that these bytes say, or None where a longer look is needed."""
    size = len(value)
    if size > 2 * DEPTH_MOST and (size > QUICK_BYTES or value.count(b"{") + value.count(b"[") > DEPTH_MOST):
        return None
    try:
        if not value.isascii():
            # What is skipped or kept raw, the decoder does not look at.
            value.decode()
        burn = _decode(value)
        said = bytes(burn.properties)
        if said and said[:1] != b"{" and said != b"null":
            return None
        return CreditBurn(
            id=burn.id,
            customer_id=burn.customer_id,
            time=_instant(burn.time),
            on_unknown=burn.on_unknown or "wait",
            contract_id=burn.contract_id,
            seat_id=burn.seat_id,
            seat_group_key=burn.seat_group_key or SEAT_ID,
            credit_type=burn.credit_type or CREDITS,
            amount=_amount(bytes(burn.amount)),
            properties=burn.properties if said[:1] == b"{" else None,
        )
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


_decode: Final = msgspec.json.Decoder(Burn).decode
_properties_of: Final = msgspec.json.Decoder(Properties).decode

_amounts: Final[dict[bytes, Amount]] = {}
_seconds: Final[dict[str, Instant]] = {}
#: What the last of so many digits of a second counts.
_MICROSECONDS: Final = (0, 100_000, 10_000, 1_000, 100, 10, 1)


def _amount(said: bytes) -> Amount:
    """Amounts repeat (a price a call, a thousand tokens), so those seen last are remembered by their text."""
    found = _amounts.get(said)
    if found is not None:
        return found
    text = said.decode()
    amount = amounts.parse(text[1:-1] if text[:1] == '"' else text)
    if amount <= 0:
        raise ValueError("a burn is above 0")
    if len(_amounts) >= REMEMBERED:
        _amounts.clear()
    _amounts[said] = amount
    return amount


def _instant(said: str) -> Instant:
    """Burns of one second come together, so seconds are remembered by their text; the rest is their fraction, in UTC."""
    second = _seconds.get(said[:19])
    if second is None:
        second = instants.instant(f"{said[:19]}Z")
        if len(_seconds) >= REMEMBERED:
            _seconds.clear()
        _seconds[said[:19]] = second
    rest = said[19:]
    if rest == "Z":
        return second
    digits = rest[1:-1]
    if rest[:1] != "." or rest[-1] != "Z" or not (digits.isdigit() and digits.isascii()) or len(digits) > 6:
        return instants.instant(said)
    return second + int(digits) * _MICROSECONDS[len(digits)]
