"""Certificates are public, and stay whole: base64 has the shape of a token, and now and then that of `pwd=`.

A certificate that lacked some bytes could not be judged. Only what really is one is spared: DER, of the length that it states.
"""

import binascii
from collections.abc import Iterable

import re2

from nl_forensics.redact.found import Found

BEGIN = b"-----BEGIN CERTIFICATE-----"
BLOCK = re2.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
SEQUENCE, LONG = 0x30, 0x80


def without_certificates(text: bytes, spans: list[Found]) -> list[Found]:
    """The spans that do not begin inside a certificate."""
    if not spans or BEGIN not in text:
        return spans
    blocks = [match.span() for match in BLOCK.finditer(text) if _is_certificate(match[1])]
    return [span for span in spans if not _is_inside(span, blocks)]


def _is_inside(span: Found, blocks: Iterable[tuple[int, int]]) -> bool:
    return any(start <= span.start and span.end <= end for start, end in blocks)


def _is_certificate(body: bytes) -> bool:
    try:
        der = binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
    except binascii.Error:
        return False
    if len(der) < 4 or der[0] != SEQUENCE or not der[1] & LONG:
        return False
    size = der[1] & ~LONG
    return size <= 4 and int.from_bytes(der[2 : 2 + size], "big") == len(der) - 2 - size
