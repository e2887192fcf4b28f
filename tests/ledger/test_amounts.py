"""Amounts are exact, from the text and back to it (L1), and a share is rounded once (L10)."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amounts import DIGITS, LIMIT, UNIT, AmountError, RoundingMethod, parse, share, text

EXACT = Context(prec=4_000)
ROUNDINGS: dict[RoundingMethod, str] = {"half_up": ROUND_HALF_UP, "floor": ROUND_FLOOR, "ceiling": ROUND_CEILING}

amounts = st.integers(-LIMIT + 1, LIMIT - 1)
digits = st.text("0123456789", min_size=1, max_size=40)
numbers = st.builds(
    lambda sign, whole, fraction, exponent: f"{sign}{whole}{fraction}{exponent}",
    st.sampled_from(["", "-"]),
    digits,
    st.one_of(st.just(""), digits.map(lambda fraction: f".{fraction}")),
    st.one_of(st.just(""), st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), digits)),
)


def refused(said: str) -> str:
    with pytest.raises(AmountError) as caught:
        parse(said)
    return caught.value.code


def test_an_amount_counts_billionths() -> None:
    assert parse("1.25") == 1_250_000_000
    assert parse("-3") == -3_000_000_000
    assert parse("0.000000001") == 1


def test_zeros_at_either_end_change_nothing() -> None:
    assert parse("007.500000000000000") == parse("7.5") == 7_500_000_000
    assert parse("0" * 50 + "1") == UNIT


def test_a_number_with_an_exponent_is_read_exactly() -> None:
    assert parse("1.5e3") == 1_500 * UNIT
    assert parse("15E-1") == 1_500_000_000
    assert parse("1e00000005") == 100_000 * UNIT
    assert parse("0." + "0" * 58 + "1e60") == 10 * UNIT
    assert parse("0e999999999999999999999") == 0
    assert parse("1e-9") == 1
    assert parse("9e14") == 900_000_000_000_000 * UNIT


def test_a_tenth_decimal_is_too_fine_and_never_rounded() -> None:
    assert refused("0.0000000001") == "amount_too_fine"
    assert refused("1e-10") == "amount_too_fine"
    assert refused("1e-99999999999999999999") == "amount_too_fine"


def test_ten_to_the_fifteenth_is_out_of_range_and_a_billionth_less_is_not() -> None:
    assert refused("1000000000000000") == refused("-1000000000000000") == "amount_out_of_range"
    assert refused("1" + "0" * 40) == refused("1e99999999999999999999") == "amount_out_of_range"
    assert parse("999999999999999.999999999") == LIMIT - 1


@pytest.mark.parametrize(
    "said", ["", "-", "+1", "1.", ".5", "1,5", " 1", "1_0", "0x1", "NaN", "inf", "1e", "1e+-5", "٣"]
)
def test_what_is_no_decimal_number_is_of_the_wrong_type(said: str) -> None:
    assert refused(said) == "wrong_type"


@given(numbers)
def test_reading_agrees_with_decimal_or_says_why_not(said: str) -> None:
    """L1: exact, or refused."""
    mantissa, _, exponent = said.lower().partition("e")
    # Decimal gives up on an exponent of more than some 18 digits; a thousand is as far out of every range.
    power = max(-2_000, min(2_000, int(exponent or "0")))
    meant = EXACT.multiply(EXACT.create_decimal(mantissa), EXACT.power(Decimal(10), power))
    billionths = EXACT.multiply(meant, Decimal(UNIT))
    if billionths != EXACT.to_integral_value(billionths):
        assert refused(said) == "amount_too_fine"
    elif abs(billionths) >= LIMIT:
        assert refused(said) == "amount_out_of_range"
    else:
        assert parse(said) == int(billionths)


@given(amounts)
def test_an_amount_written_and_read_is_the_same(amount: int) -> None:
    assert parse(text(amount)) == amount
    assert Decimal(text(amount)) * UNIT == amount


def test_an_amount_is_written_as_short_as_it_goes() -> None:
    written = [text(parse(said)) for said in ("18.750", "-3.0", "0", "-0", "1e3", "0.10")]

    assert written == ["18.75", "-3", "0", "0", "1000", "0.1"]


def test_half_up_rounds_a_half_away_from_zero() -> None:
    assert share(parse("1"), 1, 8, "half_up", 2) == parse("0.13")
    assert share(parse("-1"), 1, 8, "half_up", 2) == parse("-0.13")


def test_minus_two_decimals_round_to_hundreds() -> None:
    assert share(parse("1000"), 15, 31, "floor", -2) == parse("400")
    assert share(parse("1000"), 15, 31, "ceiling", -2) == parse("500")


@given(
    amounts, st.integers(0, 10**15), st.integers(1, 10**15), st.sampled_from(list(ROUNDINGS)), st.integers(-5, DIGITS)
)
def test_a_share_is_the_exact_fraction_rounded_once(
    amount: int, covered: int, whole: int, method: RoundingMethod, decimals: int
) -> None:
    """L10: rounded once; a thousand digits tell even the closest fraction from a half."""
    exact = Context(prec=1_000).divide(Decimal(amount * covered), Decimal(whole * 10 ** (DIGITS - decimals)))
    rounded = exact.to_integral_value(ROUNDINGS[method], Context(prec=1_000))

    assert share(amount, covered, whole, method, decimals) == int(rounded) * 10 ** (DIGITS - decimals)
