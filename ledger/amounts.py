"""Exact decimals carried as integers (L1).

An `Amount` counts billionths of a credit: "1.25" is 1_250_000_000. No binary float is ever involved.
"""

from re import compile
from typing import Literal, TypeAlias

Amount: TypeAlias = int

DIGITS = 9
UNIT: Amount = 10**DIGITS
#: Amounts from the wire stay below this magnitude.
LIMIT: Amount = 10**15 * UNIT

RoundingMethod = Literal["half_up", "floor", "ceiling"]

_LIMIT_DIGITS = 15 + DIGITS
_NUMBER = compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


class AmountError(ValueError):
    """The text is no amount that we carry; `code` is the code of refusal."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse(text: str) -> Amount:
    """The amount that a JSON number or a decimal string says, exactly.

    Raises `AmountError` with `wrong_type` (no decimal number), `amount_too_fine` (more than 9 fractional
    digits that are not zeros) or `amount_out_of_range` (10^15 or more in magnitude).
    """
    sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text)
    whole, _, fraction = digits.partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 30) or not (
        (fraction == "" and "." not in digits) or (fraction.isascii() and fraction.isdigit())
    ):
        return _parse_at_length(text)
    if len(fraction) > DIGITS:
        if fraction[DIGITS:].strip("0"):
            raise AmountError("amount_too_fine", f"{text[:40]} has more than {DIGITS} decimals")
        fraction = fraction[:DIGITS]
    amount = sign * int(whole + fraction + "000000000"[len(fraction) :])
    if not -LIMIT < amount < LIMIT:
        raise AmountError("amount_out_of_range", f"{text[:40]} is not below 10^15")
    return amount


def _parse_at_length(text: str) -> Amount:
    """Any JSON number: an exponent, or more digits than the short way looks at; anything else is no number."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise AmountError("wrong_type", f"{text[:40]!r} is not a decimal number")
    sign, whole, fraction, exponent = found.groups(default="")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return 0
    significant = digits.rstrip("0")
    # Beyond eleven digits an exponent is out of every range, whatever it says exactly.
    power = exponent.lstrip("+-").lstrip("0")[:11] or "0"
    shift = -int(power) if exponent[:1] == "-" else int(power)
    zeros = shift - len(fraction) + DIGITS + len(digits) - len(significant)
    if zeros < 0:
        raise AmountError("amount_too_fine", f"{text[:40]} has more than {DIGITS} decimals")
    if len(significant) + zeros > _LIMIT_DIGITS:
        raise AmountError("amount_out_of_range", f"{text[:40]} is not below 10^15")
    return int(f"{sign}{significant}") * int(10**zeros)


def text(amount: Amount) -> str:
    """The shortest decimal string that says the amount: "18.75", "-3", "0"."""
    whole, fraction = divmod(abs(amount), UNIT)
    sign = "-" if amount < 0 else ""
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:09d}".rstrip("0")


def share(
    amount: Amount, covered: int, whole: int, method: RoundingMethod = "half_up", decimals: int = DIGITS
) -> Amount:
    """`amount x covered / whole`, rounded once to `decimals` digits (-5 to 9) as `method` says (L10)."""
    grain: int = 10 ** (DIGITS - decimals)
    numerator, denominator = amount * covered, whole * grain
    if method == "floor":
        return numerator // denominator * grain
    if method == "ceiling":
        return -(-numerator // denominator) * grain
    half = (2 * abs(numerator) + denominator) // (2 * denominator) * grain
    return half if numerator >= 0 else -half
