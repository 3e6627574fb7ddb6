"""A certificate is kept as it was served; what only looks like one is searched like any other text."""

import base64
import re

import pytest

from nl_forensics.redact import Redactor

TAIL = base64.b64decode("/+/pass=")  # of a signature: with the line that follows, it reads like a password


def pem(der: bytes, name: str = "CERTIFICATE") -> str:
    body = "\n".join(re.findall(".{1,64}", base64.b64encode(der).decode()))
    return f"-----BEGIN {name}-----\n{body}\n-----END {name}-----\n"


def der(size: int, stated: int | None = None) -> bytes:
    """A sequence of that many bytes, which states that it has so many."""
    return b"\x30\x82" + (stated or size).to_bytes(2, "big") + b"\x05" * (size - len(TAIL)) + TAIL


SIZE = 3 * 100 - 4 + len(TAIL)  # so that the tail is the last group of base64


@pytest.mark.parametrize("text", [pem(der(SIZE)), f"chain:\n{pem(der(SIZE))}{pem(der(SIZE))}"])
def test_a_certificate_stays_whole(text):
    assert Redactor(b"key").text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        pem(der(SIZE), "SOMETHING"),
        pem(der(SIZE, stated=SIZE - 1)),
        pem(der(SIZE)).replace("\n-----END", "\nnot-base64\n-----END"),
        f"password=hunter2-really {pem(der(SIZE))}",
    ],
)
def test_what_is_no_certificate_is_searched(text):
    assert "<SECRET:" in Redactor(b"key").text(text)
