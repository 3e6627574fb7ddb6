"""How quantities read, in findings and on charts alike."""

BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def in_bytes(value: float) -> str:
    """Binary units, as `free` and `kubectl` count them."""
    for unit in BYTES:
        if abs(value) < 1024 or unit == BYTES[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or abs(value) >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def in_seconds(value: float) -> str:
    """The two largest units."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s".replace(".0 s", " s")
    for unit, size, smaller, small_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if value >= size:
            whole, rest = divmod(value, size)
            return f"{whole:.0f} {unit}" + (f" {rest // small_size:.0f} {smaller}" if rest >= small_size else "")
    raise AssertionError("unreachable")


def in_percent(ratio: float) -> str:
    percent = ratio * 100
    return f"{percent:.1f} %" if percent < 10 and percent != round(percent) else f"{percent:.0f} %"
