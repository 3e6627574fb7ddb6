"""Money: integers in the minor unit of a currency, as Stripe counts them; never a float."""

from collections import defaultdict
from collections.abc import Iterable

# https://docs.stripe.com/currencies; UGX and ISK have no minor unit today: Stripe counts the one without, the other with two decimals.
ZERO_DECIMAL = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"]
)
THREE_DECIMAL = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])


def decimals_of(currency: str) -> int:
    """Digits after the decimal point of a currency."""
    code = currency.upper()
    return 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2


def in_money(minor: int, currency: str) -> str:
    """`EUR 1,234.50`, `JPY 1,234`."""
    digits = decimals_of(currency)
    whole, rest = divmod(abs(int(minor)), 10**digits)
    fraction = f".{rest:0{digits}}" if digits else ""
    return f"{currency.upper()} {'-' if minor < 0 else ''}{whole:,}{fraction}"


def price_of(units: int, amount: int, per: int) -> int:
    """What units cost at `amount` minor units for each `per` of them, rounded half up to a whole minor unit."""
    doubled = 2 * abs(int(units)) * int(amount) + int(per)
    minor = doubled // (2 * int(per))
    return minor if units >= 0 else -minor


def summed(amounts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """{currency: sum of its amounts}; currencies are never added to each other."""
    sums: dict[str, int] = defaultdict(int)
    for currency, minor in amounts:
        sums[currency.upper()] += int(minor)
    return dict(sorted(sums.items()))


def in_currencies(amounts: Iterable[tuple[str, int]]) -> str:
    """`EUR 12.34, JPY 500`."""
    return ", ".join(in_money(minor, currency) for currency, minor in summed(amounts).items()) or "no money"
