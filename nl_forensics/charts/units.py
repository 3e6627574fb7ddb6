"""Units of an axis: how a value reads, and where the ticks are."""

import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from matplotlib.axis import Axis

from nl_forensics.units import in_bytes, in_percent, in_seconds


class Unit(NamedTuple):
    """words: how one value reads, unit included; steps: the distances that ticks may have, growing.

    least   an axis is at least that long: values near zero must look near zero
    """

    words: Callable[[float], str]
    steps: Callable[[], Iterator[float]]
    least: float = 1

    def ticks(self, top: float, most: int = 6) -> list[float]:
        """Round values from zero up to `top`, or a little below."""
        step = next(step for step in self.steps() if top / step <= most)
        return [number * step for number in range(math.floor(top / step + 1e-9) + 1)]

    def scale(self, axis: Axis, top: float) -> None:
        """Put the ticks on an axis."""
        ticks = self.ticks(top)
        axis.set_ticks(ticks, labels=[self.words(tick) if tick else "0" for tick in ticks])


def _decimal(smallest: float) -> Iterator[float]:
    return (smallest * factor * 10.0**power for power in count() for factor in (1, 2, 5))


def _binary() -> Iterator[float]:
    return (2.0**power for power in count())


def _clock() -> Iterator[float]:
    """Milliseconds and seconds are decimal; minutes, hours and days are not."""
    yield from (factor * 10.0**power for power in range(-6, 1) for factor in (1, 2, 5))
    yield from (10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 4 * 3600, 8 * 3600)
    yield from (86400 * factor * 10.0**power for power in count() for factor in (1, 2, 5))


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.2g}"


def _in_percent(ratio: float) -> str:
    """The last percent of a hit rate and the first thousandth of a share are shown."""
    if 0 < ratio < 0.0005:
        return "< 0.1 %"
    return f"{min(ratio * 100, 99.9):.1f} %" if 0.99 < ratio < 1 else in_percent(ratio)


def _in_milliseconds(value: float) -> str:
    if 0 < value < 0.1:
        return f"{value * 1000:.2g} µs"
    return f"{value:.2g} ms" if 0 < value < 10 else in_seconds(value / 1000)


NUMBER = Unit(_plain, lambda: _decimal(1))
RATE = Unit(lambda value: f"{_plain(value)}/s", lambda: _decimal(0.001))
BYTES = Unit(in_bytes, _binary)
SECONDS = Unit(in_seconds, _clock)
MILLISECONDS = Unit(_in_milliseconds, lambda: (step * 1000 for step in _clock()))
MEAN = Unit(_plain, lambda: _decimal(0.001), 0.01)
PERCENT = Unit(_in_percent, lambda: _decimal(0.001), 0.01)
WHOLE = PERCENT._replace(least=1)  # to 100 %
