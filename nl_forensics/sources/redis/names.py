"""Names of keys without what identifies a customer: `usage:4711:2026` is recorded as `usage:*`."""

import re
from fnmatch import fnmatchcase

from nl_forensics.inputs.platform import RedisNames
from nl_forensics.redact import without_tokens

SEPARATORS = re.compile(r"([:/|])")
WORD = re.compile(r"[A-Za-z]{2,20}(?:[_-][A-Za-z]{1,20}){0,3}")
MAX_WORDS = 2

WITHOUT_KEY = """
    ACL AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DBSIZE DEBUG DISCARD ECHO EXEC FAILOVER FLUSHALL FLUSHDB FUNCTION
    HELLO INFO LASTSAVE LATENCY LOLWUT MODULE MONITOR MULTI PING PSUBSCRIBE PSYNC PUBLISH PUBSUB PUNSUBSCRIBE QUIT RANDOMKEY READONLY
    READWRITE REPLCONF REPLICAOF RESET ROLE SAVE SCAN SCRIPT SELECT SHUTDOWN SLAVEOF SLOWLOG SPUBLISH SSUBSCRIBE SUBSCRIBE
    SUNSUBSCRIBE SWAPDB SYNC TIME UNSUBSCRIBE UNWATCH WAIT WAITAOF
"""
WITH_SUBCOMMAND = (
    "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SLOWLOG XGROUP XINFO"
)
KEY_AFTER_SUBCOMMAND = "MEMORY OBJECT XGROUP XINFO"
KEYS_AFTER_THEIR_NUMBER = "LMPOP SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION"
KEYS_AFTER_NAME_AND_NUMBER = "BLMPOP BZMPOP EVAL EVALSHA EVALSHA_RO EVAL_RO FCALL FCALL_RO"
KEY_THIRD = "BITOP MIGRATE"
FIRST_KEY = (
    dict.fromkeys(WITHOUT_KEY.split(), 0)
    | dict.fromkeys((KEY_AFTER_SUBCOMMAND + " " + KEYS_AFTER_THEIR_NUMBER).split(), 2)
    | dict.fromkeys((KEYS_AFTER_NAME_AND_NUMBER + " " + KEY_THIRD).split(), 3)
)
STREAM_READS = frozenset({"XREAD", "XREADGROUP"})


def pattern(key: str, names: RedisNames) -> str:
    """The pattern of the platform file that a key matches, else its leading words.

    A key that is one word is a name (`log_queue`); of several parts the last is an id, and no more than two words are kept.
    """
    for known in (*names.precious, *names.cache, *(queue.key for queue in names.queues)):
        if key == known or fnmatchcase(key, known):
            return known
    parts = SEPARATORS.split(without_tokens(key))
    if len(parts) == 1:
        return key if WORD.fullmatch(key) else "*"
    kept = ""
    for word, separator in list(zip(parts[:-1:2], parts[1::2], strict=True))[:MAX_WORDS]:
        if not WORD.fullmatch(word):
            break
        kept += word + separator
    return kept + "*"


def kind(key: str, names: RedisNames) -> str:
    """What a key is for the platform: `queue`, `precious`, `cache`, or "" where the platform file does not say."""
    if any(key == queue.key for queue in names.queues):
        return "queue"
    if any(fnmatchcase(key, known) for known in names.precious):
        return "precious"
    return "cache" if any(fnmatchcase(key, known) for known in names.cache) else ""


def command_and_pattern(arguments: list[str], names: RedisNames) -> str:
    """`HGETALL usage:*`: the command and the pattern of its first key, never a value, a script or a password."""
    command = arguments[0].upper()
    if not re.fullmatch(r"[A-Z][A-Z0-9._]*", command):
        return "*"
    shown = command
    if command in WITH_SUBCOMMAND.split() and len(arguments) > 1 and WORD.fullmatch(arguments[1]):
        shown += f" {arguments[1].upper()}"
    place = _first_key(command, arguments)
    return f"{shown} {pattern(arguments[place], names)}" if 0 < place < len(arguments) else shown


def _first_key(command: str, arguments: list[str]) -> int:
    """Its place, 0 where there is none: what a script without keys is given are values."""
    if command in STREAM_READS:
        words = [word.upper() for word in arguments]
        return words.index("STREAMS") + 1 if "STREAMS" in words else 0
    place = FIRST_KEY.get(command, 1)
    return 0 if place > 1 and arguments[place - 1 : place] == ["0"] else place


def readable(text: str) -> str:
    """Bytes that are no UTF-8, shown as escapes: they can be printed and written."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
