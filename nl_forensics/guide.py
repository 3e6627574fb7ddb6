"""The commands of the troubleshooting guide, and what answers them here."""

from collections.abc import Iterator
from pathlib import Path

from nl_forensics.errors import ParameterError
from nl_forensics.parameters import read_yaml

GUIDE = Path(__file__).parent / "guide.yaml"
MOST_NAMED = 4


def sections(wanted: tuple[str, ...] = ()) -> dict[str, dict]:
    """{section: its title, its notebook, and its commands}, of those that have a notebook; of all when none is named.

    Raises ParameterError for a section that there is not.
    """
    found = read_yaml(GUIDE)
    if unknown := sorted(set(wanted) - found.keys()):
        raise ParameterError(f"there is no section {unknown[0]}: choose from {', '.join(found)}")
    return {number: told for number, told in found.items() if not wanted or number in wanted}


def lines(wanted: tuple[str, ...] = ()) -> Iterator[str]:
    """For people: a line for each command, then what answers it, or why it is not done."""
    for number, told in sections(wanted).items():
        yield f"{number} {told['title']}: notebooks/{told['notebook']}"
        for command, one in told["commands"].items():
            yield f"  {command} {one['wants']}"
            if reason := one.get("not_done"):
                yield f"       not done: {reason}"
            if checks := one.get("answered_by", {}).get("checks"):
                more = f", and {len(checks) - MOST_NAMED} more" if len(checks) > MOST_NAMED else ""
                yield f"       {', '.join(checks[:MOST_NAMED])}{more}"
