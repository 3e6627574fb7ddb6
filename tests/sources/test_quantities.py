"""Our parser of quantities against the one of the client, which takes 0.4 s to import and so is left to the tests."""

import pytest
from kubernetes.utils.quantity import parse_quantity

from nl_forensics.sources.kubernetes.reading import SUFFIXES, quantity

NUMBERS = ("0", "1", "1.5", "-2", "250")
VALID = [
    *(f"{number}{suffix}" for number in NUMBERS for suffix in SUFFIXES),
    "1e3",
    "1E3",
    "1.5e-3",
    "12e6",
    "+4",
    ".5",
    "7.",
]
NONSENSE = ("", "Gi", "1Zi", "1.5.2", "one", "1 Gi x", "1KiB")


@pytest.mark.parametrize("text", VALID)
def test_a_quantity_is_read_as_the_client_reads_it(text):
    assert quantity(text) == pytest.approx(float(parse_quantity(text)), rel=1e-12)


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_refused_by_both(text):
    with pytest.raises(ValueError):
        parse_quantity(text)
    with pytest.raises((ValueError, KeyError)):
        quantity(text)


def test_there_are_enough_quantities():
    assert len(VALID) >= 60
