"""The commands of the troubleshooting guide with their replacements: sources and checks that declare a command (`guide=`)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from nl_forensics import checks, sources
from nl_forensics.errors import ParameterError
from nl_forensics.inputs.parameters import read_yaml

GUIDE = Path(__file__).parent.with_name("guide.yaml")
MAX_NAMES = 4


def sections(wanted: tuple[str, ...] = ()) -> dict[str, dict]:
    """{section: its title, its notebook, and its commands}, of the wanted sections, or of all.

    Each command has the fields of the file, and the `sources` and `checks` that answer it.

    Raises ParameterError for an unknown section.
    """
    found = read_yaml(GUIDE)
    if unknown := sorted(set(wanted) - found.keys()):
        raise ParameterError(f"there is no section {unknown[0]}: choose from {', '.join(found)}")
    return {number: _linked(section) for number, section in found.items() if not wanted or number in wanted}


def _linked(section: dict) -> dict:
    commands = {
        name: entry | {"sources": _answering(name, sources.load()), "checks": _answering(name, checks.load())}
        for name, entry in section["commands"].items()
    }
    return section | {"commands": commands}


def _answering(command: str, declared: Mapping) -> list[str]:
    return [name for name, one in declared.items() if command in one.guide]


def lines(wanted: tuple[str, ...] = ()) -> Iterator[str]:
    """As text: one line for each command, then its checks, or why it is not run."""
    for number, section in sections(wanted).items():
        yield f"{number} {section['title']}: notebooks/{section['notebook']}"
        for command, one in section["commands"].items():
            yield f"  {command} {one['wants']}"
            if reason := one.get("not_done"):
                yield f"       not run: {reason}"
            if found := one["checks"]:
                more = f", and {len(found) - MAX_NAMES} more" if len(found) > MAX_NAMES else ""
                yield f"       {', '.join(found[:MAX_NAMES])}{more}"
