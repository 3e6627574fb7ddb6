"""One parameter file, read and validated before any system is queried."""

import json
import os
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, FiniteFloat, ValidationError

from nl_forensics.errors import ParameterError, did_you_mean
from nl_forensics.inputs.incident import Incident
from nl_forensics.inputs.platform import (
    Budget,
    KubernetesEndpoint,
    Platform,
    PortForward,
    PostgresEndpoint,
    Queue,
    RedisNames,
    Systems,
)
from nl_forensics.redact import Redactor

PACKAGED = Path(__file__).parents[1] / "parameters_shipped"
CHECKOUT = Path(__file__).parents[2] / "parameters"


MAX_CHARACTERS, MAX_DEPTH = 1_000_000, 50


def home() -> Path:
    """The folder of the pseudonym key and the vault: $NL_FORENSICS_HOME, or ~/.config/nl-forensics."""
    return Path(os.environ.get("NL_FORENSICS_HOME") or Path.home() / ".config" / "nl-forensics")


def shipped(name: str) -> Path:
    """A file of the `parameters` folder, in the checkout or in the installed package."""
    return next((folder / name for folder in (CHECKOUT, PACKAGED) if (folder / name).is_file()), CHECKOUT / name)


class Narrative(BaseModel):
    """Context that only people have; the report prints it unchanged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    summary: str = ""
    impact: str = ""
    actions_taken: str = ""


def _platform(value: object) -> object:
    """A platform by name (one that ships), by path, or as stored in a case."""
    if not isinstance(value, str):
        return value
    path = Path(value).expanduser() if value.endswith((".yaml", ".yml")) else shipped(f"platforms/{value}.yaml")
    if not path.is_file():
        raise ValueError(f"no platform file {path}: name one that ships (neurallog), or the path of your own .yaml")
    return read_yaml(path)


class Parameters(BaseModel):
    """Every variable of a notebook's parameters cell.

    case     `demo`: the recorded case that ships; else a folder; empty: `cases/<incident id>`
    limits   {check: {limit: value}}: your own limits, in place of a check's defaults
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    incident: Incident
    platform: Annotated[Platform, BeforeValidator(_platform)]
    case: str = ""
    limits: dict[str, dict[str, FiniteFloat]] = {}
    narrative: Narrative = Narrative()

    def with_budget(self, **changed) -> "Parameters":
        """The same parameters with another budget."""
        budget = self.platform.budget.model_copy(update=changed)
        return self.model_copy(update={"platform": self.platform.model_copy(update={"budget": budget})})


class _Loader(yaml.CSafeLoader):
    """YAML in which timestamps stay text and duplicate keys are errors."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _mapping_without_duplicates(loader: _Loader, node: yaml.MappingNode) -> dict:
    seen = set()
    for key, _ in node.value:
        name = str(loader.construct_object(key))
        if name in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} occurs twice", node.start_mark)
        seen.add(name)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)


def read_yaml(path: Path) -> dict:
    """A YAML file that holds a mapping. Raises ParameterError: one line with the fix."""
    try:
        values = yaml.load(_bounded(path), _Loader)
    except IsADirectoryError:
        raise ParameterError(f"{path} is a folder: name a YAML file in it, such as {path / 'example.yaml'}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} can't be read: {getattr(error, 'strerror', '') or error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ParameterError(f"{path} is not YAML: {_where_and_what(error)}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path} must hold `key: value` lines; compare it with parameters/example.yaml")
    _refuse_secrets(values, str(path))
    return values


def _bounded(path: Path) -> str:
    """The text of a YAML file without aliases, of which a few make billions of values, and without endless nesting."""
    with path.open(encoding="utf-8") as file:
        text = file.read(MAX_CHARACTERS + 1)
    if len(text) > MAX_CHARACTERS:
        raise ParameterError(f"{path} is no parameter file: it has more than {MAX_CHARACTERS:,} characters")
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > MAX_DEPTH:
            problem = (
                f"more than {MAX_DEPTH} levels" if depth > MAX_DEPTH else "write the value out in place of an alias"
            )
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
    return text


def _where_and_what(error: Exception) -> str:
    """The position and the error, never the line itself: it may contain a secret."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return where + (problem or getattr(error, "reason", "") or "it is nested too deeply")


def _refuse_secrets(values: dict, where: str) -> None:
    """Parameters are copied into notebooks and reports: a secret in them would be published, and what is no text can't be written."""
    try:
        json.dumps(values, ensure_ascii=False, default=str).encode()
    except (UnicodeEncodeError, RecursionError, ValueError, TypeError):
        raise ParameterError(f"{where} holds what is no text, or is nested too deeply") from None
    redactor = Redactor(b"parameters")
    redactor.record(values)
    if kinds := sorted(kind.partition(":")[2] for kind in redactor.counts if kind.startswith("secret")):
        raise ParameterError(f"{where} seems to hold a secret ({', '.join(kinds)}): move it to an environment variable")


def read(path: Path) -> Parameters:
    """A parameter file. Raises ParameterError: one line with the key and its valid values."""
    return resolve(read_yaml(path), str(path))


def resolve(values: dict, where: str = "parameters") -> Parameters:
    """The five variables of a notebook, or a parameter file, validated."""
    _refuse_secrets(values, where)
    try:
        return Parameters.model_validate(values)
    except ValidationError as error:
        raise ParameterError(f"{where}: {_one_line(error)}") from None


def incident_of(where: str, **facts) -> Incident:
    """An incident that no file describes. Raises ParameterError: one line with the key and its valid values."""
    try:
        return Incident(**facts)
    except ValidationError as error:
        raise ParameterError(f"{where}: {_one_line(error)}") from None


def _one_line(error: ValidationError) -> str:
    first, *more = error.errors()
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("dict[", "literal[", "function-")))
    if first["type"] == "extra_forbidden":
        said = f"unknown key {key}{_nearest(str(first['loc'][-1]))}"
    elif first["type"] == "missing":
        said = f"{key} is missing"
    else:
        said = f"{key}: {first['msg'].removeprefix('Value error, ')}"
    return said + (f" (and {len(more)} more)" if more else "")


def _nearest(key: str) -> str:
    endpoints = (PostgresEndpoint, KubernetesEndpoint, PortForward)
    models = (Parameters, Narrative, Incident, Platform, Systems, *endpoints, RedisNames, Queue, Budget)
    known = sorted({name for model in models for name in model.model_fields})
    return did_you_mean(key, known, otherwise=": parameters/example.yaml explains every key")
