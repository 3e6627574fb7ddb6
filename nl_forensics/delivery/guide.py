"""The commands of the troubleshooting guide, and what answers them here: whatever names a command in its declaration (`guide=`)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from nl_forensics import checks, sources
from nl_forensics.errors import ParameterError
from nl_forensics.inputs.parameters import read_yaml

GUIDE = Path(__file__).parent.with_name("guide.yaml")
MOST_NAMED = 4


def sections(wanted: tuple[str, ...] = ()) -> dict[str, dict]:
    """{section: its title, its notebook, and its commands}, of those that have a notebook; of all when none is named.

    A command has, beside what stands in the file, the `sources` and the `checks` that answer it.

    Raises ParameterError for a section that there is not.
    """
    found = read_yaml(GUIDE)
    if unknown := sorted(set(wanted) - found.keys()):
        raise ParameterError(f"there is no section {unknown[0]}: choose from {', '.join(found)}")
    return {number: _linked(told) for number, told in found.items() if not wanted or number in wanted}


def _linked(section: dict) -> dict:
    commands = {
        name: told | {"sources": _answering(name, sources.load()), "checks": _answering(name, checks.load())}
        for name, told in section["commands"].items()
    }
    return section | {"commands": commands}


def _answering(command: str, declared: Mapping) -> list[str]:
    return [name for name, one in declared.items() if command in one.guide]


def lines(wanted: tuple[str, ...] = ()) -> Iterator[str]:
    """For people: a line for each command, then what answers it, or why it is not done."""
    for number, told in sections(wanted).items():
        yield f"{number} {told['title']}: notebooks/{told['notebook']}"
        for command, one in told["commands"].items():
            yield f"  {command} {one['wants']}"
            if reason := one.get("not_done"):
                yield f"       not done: {reason}"
            if found := one["checks"]:
                more = f", and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
                yield f"       {', '.join(found[:MOST_NAMED])}{more}"
