"""Exact decimals carried as integers (L1).

An `Amount` counts billionths of a credit: "1.25" is 1_250_000_000. No binary float is ever involved.
"""

from typing import Literal, TypeAlias

Amount: TypeAlias = int

DIGITS = 9
UNIT: Amount = 10**DIGITS
#: Amounts from the wire stay below this magnitude.
LIMIT: Amount = 10**15 * UNIT

RoundingMethod = Literal["half_up", "floor", "ceiling"]


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
        fraction == "" and "." not in digits or fraction.isascii() and fraction.isdigit()
    ):
        return _parse_exponent(text)
    if len(fraction) > DIGITS:
        if fraction[DIGITS:].strip("0"):
            raise AmountError("amount_too_fine", f"{text[:40]} has more than {DIGITS} decimals")
        fraction = fraction[:DIGITS]
    amount = sign * int(whole + fraction + "000000000"[len(fraction):])
    if not -LIMIT < amount < LIMIT:
        raise AmountError("amount_out_of_range", f"{text[:40]} is not below 10^15")
    return amount


def _parse_exponent(text: str) -> Amount:
    """JSON also writes numbers as 1.5e3; anything else is no number."""
    mantissa, e, exponent = text.replace("E", "e").partition("e")
    try:
        if not e or not exponent.lstrip("+-").isdigit() or not exponent.isascii() or len(mantissa) > 60:
            raise ValueError
        shift = int(exponent) if len(exponent) <= 4 else 10_000 * (-1 if exponent[0] == "-" else 1)
        sign, digits = ("-", mantissa[1:]) if mantissa[:1] == "-" else ("", mantissa)
        whole, _, fraction = digits.partition(".")
        if not (whole + fraction).isdigit() or not (whole + fraction).isascii() or not whole:
            raise ValueError
    except ValueError:
        raise AmountError("wrong_type", f"{text[:40]!r} is not a decimal number") from None
    number = (whole + fraction).lstrip("0")
    if not number:
        return 0
    point = len(number) - len(fraction) + shift
    if point > 30:
        raise AmountError("amount_out_of_range", f"{text[:40]} is not below 10^15")
    if point < -60:
        raise AmountError("amount_too_fine", f"{text[:40]} has more than {DIGITS} decimals")
    if point <= 0:
        return parse(f"{sign}0.{'0' * -point}{number}")
    return parse(sign + (number[:point].ljust(point, "0") + "." + (number[point:] or "0")))


def text(amount: Amount) -> str:
    """The shortest decimal string that says the amount: "18.75", "-3", "0"."""
    whole, fraction = divmod(abs(amount), UNIT)
    sign = "-" if amount < 0 else ""
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:09d}".rstrip("0")


def share(amount: Amount, covered: int, whole: int, method: RoundingMethod = "half_up", decimals: int = DIGITS) -> Amount:
    """`amount x covered / whole`, rounded once to `decimals` digits (-5 to 9) as `method` says (L10)."""
    grain = 10 ** (DIGITS - decimals)
    numerator, denominator = amount * covered, whole * grain
    if method == "floor":
        return numerator // denominator * grain
    if method == "ceiling":
        return -(-numerator // denominator) * grain
    half = (2 * abs(numerator) + denominator) // (2 * denominator) * grain
    return half if numerator >= 0 else -half
