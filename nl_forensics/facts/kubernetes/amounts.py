"""Amounts of what a quota or a node gives."""

from nl_forensics.units import in_bytes


def in_words(resource: str, value: float) -> str:
    """`requests.memory` and `storage` in bytes, others as a number."""
    is_of_bytes = any(word in resource for word in ("memory", "storage", "hugepages"))
    return in_bytes(value) if is_of_bytes else f"{value:g}"
