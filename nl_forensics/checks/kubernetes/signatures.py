"""Lines of logs that tell what is wrong, whoever writes them."""

from typing import NamedTuple


class Signature(NamedTuple):
    """pattern: of the message; means: in words; section: of the guide, where one looks next."""

    pattern: str
    means: str
    section: str


SIGNATURES = (
    Signature(
        r"(?i)too many (?:clients|connections)|remaining connection slots", "the database has no free connection", "05"
    ),
    Signature(r"(?i)deadlock detected", "two transactions of the database waited for each other", "05"),
    Signature(
        r"(?i)canceling statement due to (?:statement|lock) timeout", "a statement ran into its time limit", "05"
    ),
    Signature(r"(?i)could not serialize access", "transactions got into each other's way", "05"),
    Signature(r"(?i)No space left on device|disk (?:quota exceeded|full)", "a volume is full", "05"),
    Signature(r"(?i)password authentication failed|WRONGPASS|NOAUTH", "a password is wrong, or was changed", "05"),
    Signature(
        r"(?i)relation \S+ does not exist|column \S+ does not exist|UndefinedTable|UndefinedColumn",
        "the schema does not fit the program",
        "05",
    ),
    Signature(r"(?i)\bOOM command not allowed|used memory > 'maxmemory'", "Redis is full", "05"),
    Signature(r"\bMISCONF\b|\bREADONLY You can't write", "Redis takes no writes", "05"),
    Signature(
        r"(?i)OutOfMemoryError|JavaScript heap out of memory|\bMemoryError\b|cannot allocate memory",
        "the process ran out of memory",
        "06",
    ),
    Signature(r"(?i)too many open files", "the process has no free file handle", "06"),
    Signature(r"(?i)address already in use|EADDRINUSE", "its port is taken", "06"),
    Signature(r"(?i)permission denied|EACCES|read-only file system", "a file or folder may not be used", "06"),
    Signature(r"(?i)panic: |segmentation fault|\bSIGSEGV\b|fatal error: ", "the program crashed", "06"),
    Signature(
        r"(?i)Name or service not known|no such host|Temporary failure in name resolution|ENOTFOUND|EAI_AGAIN",
        "a name can't be resolved",
        "02",
    ),
    Signature(r"(?i)connection refused|ECONNREFUSED", "somebody does not take connections", "02"),
    Signature(
        r"(?i)connection reset by peer|ECONNRESET|broken pipe|server closed the connection", "connections are cut", "02"
    ),
    Signature(
        r"(?i)i/o timeout|ETIMEDOUT|connection timed out|context deadline exceeded|Read timed out",
        "somebody does not answer in time",
        "02",
    ),
    Signature(
        r"(?i)certificate (?:has expired|verify failed)|x509: |CERT_HAS_EXPIRED", "a certificate is not valid", "04"
    ),
    Signature(
        r"(?i)jwt (?:expired|malformed)|invalid signature|token (?:is )?expired|TokenExpiredError",
        "a token is refused",
        "09",
    ),
    Signature(
        r"(?i)rate limit(?:ed| exceeded)|too many requests|\b(?:HTTP|status)\W{0,3}429\b",
        "somebody sends, or gets, too many requests",
        "07",
    ),
    Signature(r"(?i)StripeError|stripe.*(?:declined|card_error|api_error)", "Stripe refuses something", "08"),
    Signature(
        r"(?i)(?:missing|required|undefined|invalid|unknown) (?:environment|config\w*|setting|variable)|KeyError: '[A-Z_]+'",
        "a setting is missing or wrong",
        "06",
    ),
)
"""In the order of trust: of a line that fits several, the first counts."""
