"""The style of every chart: readable in grey, by colour-blind people, and the same on every machine."""

from functools import cache

from matplotlib.font_manager import findfont, get_font

from nl_forensics.charts.labels import cut
from nl_forensics.sanitize import printable

LONGEST_NAME = 56
INK, QUIET, WARNING, GROUND, GRID = "#1b2430", "#5a6672", "#7a3b00", "#eef1f4", "#dfe4e9"
# Okabe and Ito: distinguishable for colour-blind people; lines differ in their dashes and bars in their hatches, too, for print in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (9, 3)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "////", "....", "xxx", "\\\\\\\\", "++")
WINDOWS = {"incident": "#fbdcc4", "baseline": "#dbe9f6"}
HEALTHY, UNHEALTHY, UNKNOWN, PLAIN = "healthy", "unhealthy", "unknown", ""
# Fields of a grid, and the text in them: light, dark and dashed, so that print in grey shows the difference.
FIELDS: dict[str, tuple[dict, dict]] = {
    HEALTHY: ({"facecolor": "#dcefe4", "edgecolor": "none"}, {"color": INK}),
    UNHEALTHY: ({"facecolor": "#9c1c12", "edgecolor": "none"}, {"color": "white", "fontweight": "bold"}),
    UNKNOWN: ({"facecolor": "white", "edgecolor": QUIET, "linestyle": (0, (3, 2))}, {"color": QUIET}),
    PLAIN: ({"facecolor": "white", "edgecolor": "none"}, {"color": QUIET}),
}
STYLE = (
    "default",
    {
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "axes.edgecolor": QUIET,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.labelcolor": QUIET,
        "axes.labelsize": 9.5,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "text.color": INK,
        "text.parse_math": False,  # `$1 … $2` of a statement is no formula
        "hatch.linewidth": 0.6,
        "hatch.color": "white",
        "legend.frameon": False,
        "legend.fontsize": 9,
    },
)


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def drawable(text: str, longest: int = LONGEST_NAME) -> str:
    """As `cut`, with a `?` for each sign that the font lacks: matplotlib would warn, in the middle of a notebook."""
    return "".join(sign if ord(sign) in _glyphs() else "?" for sign in cut(text, longest))


def told_apart(names: list[str], longest: int, sentences: bool = False) -> list[str]:
    """Names of one chart, `drawable`. A long one is cut in its middle, since names differ at their end, and a sentence at its end;
    where that leaves two alike, in the part that they share.
    """
    lines = [printable(name).rstrip() for name in names]
    short = [cut(line, longest) if sentences else _without_middle(line, longest, len(line)) for line in lines]
    for text in {text for text in short if short.count(text) > 1}:
        alike = [place for place, other in enumerate(short) if other == text]
        signs = enumerate(zip(*(lines[place] for place in alike), strict=False))
        differ_at = next((at for at, here in signs if len(set(here)) > 1), len(lines[alike[0]]))
        for place in alike:
            short[place] = _without_middle(lines[place], longest, differ_at - longest // 4)
    return [drawable(text, longest) for text in short]


def _without_middle(line: str, longest: int, resume: int) -> str:
    """The begin of a line, and what comes from `resume` on: as much as there is room for, and no less."""
    if len(line) <= longest:
        return line
    head = longest // 2
    tail = longest - head - 1
    resume = max(head, min(resume, len(line) - tail))
    return f"{line[:head].rstrip()}…{cut(line[resume:].lstrip(), tail)}"
