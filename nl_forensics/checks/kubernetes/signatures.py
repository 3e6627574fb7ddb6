"""Signatures of known failures in log lines, of any program."""

from typing import NamedTuple


class Signature(NamedTuple):
    """pattern: of the message; means: in words; section: of the guide, to read next."""

    pattern: str
    means: str
    section: str


SIGNATURES = (
    Signature(
        r"(?i)too many (?:clients|connections)|remaining connection slots", "the database has no free connection", "05"
    ),
    Signature(r"(?i)deadlock detected", "deadlock of two database transactions", "05"),
    Signature(r"(?i)canceling statement due to (?:statement|lock) timeout", "a statement or lock timeout", "05"),
    Signature(r"(?i)could not serialize access", "serialization failure of transactions", "05"),
    Signature(r"(?i)No space left on device|disk (?:quota exceeded|full)", "a volume is full", "05"),
    Signature(r"(?i)password authentication failed|WRONGPASS|NOAUTH", "authentication failed, wrong password", "05"),
    Signature(
        r"(?i)relation \S+ does not exist|column \S+ does not exist|UndefinedTable|UndefinedColumn",
        "the database schema does not match the program",
        "05",
    ),
    Signature(r"(?i)\bOOM command not allowed|used memory > 'maxmemory'", "Redis is out of memory", "05"),
    Signature(r"\bMISCONF\b|\bREADONLY You can't write", "Redis rejects writes", "05"),
    Signature(
        r"(?i)OutOfMemoryError|JavaScript heap out of memory|\bMemoryError\b|cannot allocate memory",
        "the process ran out of memory",
        "06",
    ),
    Signature(r"(?i)too many open files", "too many open files", "06"),
    Signature(r"(?i)address already in use|EADDRINUSE", "its port is taken", "06"),
    Signature(r"(?i)permission denied|EACCES|read-only file system", "no permission for a file or folder", "06"),
    Signature(r"(?i)panic: |segmentation fault|\bSIGSEGV\b|fatal error: ", "the program crashed", "06"),
    Signature(
        r"(?i)Name or service not known|no such host|Temporary failure in name resolution|ENOTFOUND|EAI_AGAIN",
        "a name can't be resolved",
        "02",
    ),
    Signature(r"(?i)connection refused|ECONNREFUSED", "connection refused by upstream", "02"),
    Signature(
        r"(?i)connection reset by peer|ECONNRESET|broken pipe|server closed the connection", "connections reset", "02"
    ),
    Signature(
        r"(?i)i/o timeout|ETIMEDOUT|connection timed out|context deadline exceeded|Read timed out",
        "upstream timeout",
        "02",
    ),
    Signature(r"(?i)certificate (?:has expired|verify failed)|x509: |CERT_HAS_EXPIRED", "invalid certificate", "04"),
    Signature(
        r"(?i)rate limit(?:ed| exceeded)|too many requests|\b(?:HTTP|status)\W{0,3}429\b",
        "rate limit exceeded",
        "07",
    ),
    Signature(r"(?i)StripeError|stripe.*(?:declined|card_error|api_error)", "request rejected by Stripe", "08"),
    Signature(
        r"(?i)(?:missing|required|undefined|invalid|unknown) (?:environment|config\w*|setting|variable)|KeyError: '[A-Z_]+'",
        "missing or invalid setting",
        "06",
    ),
)
"""In the order of trust: for a line that matches several, the first counts."""
