"""Whatever is wrong with a parameter file is told in one line that helps, before anything is asked."""

import base64
import json
import secrets
import textwrap
from datetime import UTC, datetime, timedelta

import pytest

from nl_forensics.errors import ParameterError
from nl_forensics.inputs import parameters

WHOLE = """
    incident:
      id: checkout-slow
      start: 2026-11-03T14:00Z
      end: 2026-11-03T15:30+01:00
    platform: neurallog
    limits: {}
"""


def refusal(path):
    """What is said: one line, that names the file or the key."""
    with pytest.raises(ParameterError) as refused:
        parameters.read(path)
    said = str(refused.value)
    assert len(said.splitlines()) == 1
    assert len(said) < 400
    return said


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "incident.yaml"
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    return write


def test_a_whole_file(written):
    asked = parameters.read(written(WHOLE.replace("2026", "2025")))
    assert asked.incident.end == datetime(2025, 11, 3, 14, 30, tzinfo=UTC)
    assert asked.platform.name == "neurallog"
    assert asked.platform.budget.deadline_s == 60


def test_now_is_resolved_once(written):
    before = datetime.now(UTC).replace(microsecond=0)
    asked = parameters.read(written("incident: {id: a, start: 2025-11-03T14:00Z}\nplatform: neurallog"))
    stored = parameters.Parameters.model_validate_json(asked.model_dump_json())
    assert before <= asked.incident.end <= datetime.now(UTC)
    assert stored == asked


def test_a_platform_of_ones_own(written, tmp_path):
    own = {"name": "own", "systems": dict.fromkeys(("postgres", "pgbouncer", "redis", "prometheus"), "absent")}
    (tmp_path / "own.yaml").write_text(json.dumps(own))
    asked = parameters.read(written(WHOLE.replace("2026", "2025").replace("neurallog", str(tmp_path / "own.yaml"))))
    assert asked.platform.systems.instances("redis") == {}


# --- No file ---------------------------------------------------------------------------------------------------------


def test_a_folder(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path} is a folder")


def test_a_file_that_is_not_there(tmp_path):
    assert refusal(tmp_path / "gone.yaml") == f"{tmp_path / 'gone.yaml'} can't be read: No such file or directory"


NO_YAML = {
    "binary": (b"\x80\x81\xff\x00", "can't be read"),
    "control characters": (b"incident: \x00", "is not YAML: "),
    "an open bracket": ("incident: {id: [", "is not YAML: line 2, column 1: "),
    "a tab": ("incident:\n\tid: a", "is not YAML: line 2, column 1: "),
    "a python object": (
        "incident: !!python/object/apply:os.system [id]",
        "is not YAML: line 1, column 11: could not determine",
    ),
    "an endless alias": ("a: &a [*a]", "is not YAML: line 1, column 8: write the value out in place of an alias"),
    "deep": ("a: " + "[" * 900 + "]" * 900, "is not YAML: line 1, column 53: more than 50 levels"),
    "deeper": ("[" * 5000, "is not YAML: line 1, column 1001: exceeded maximum nesting depth"),
    "a list": ("- incident", "must hold `key: value` lines"),
    "empty": ("", "must hold `key: value` lines"),
    "a word": ("incident", "must hold `key: value` lines"),
    "a duplicate key": ("incident: {id: a, start: b, id: c}", "line 1, column 11: the key 'id' occurs twice"),
    "a key that is a list": ("[a]: b", "is not YAML: "),
}


@pytest.mark.parametrize("how", NO_YAML)
def test_no_yaml(written, how):
    text, said = NO_YAML[how]
    assert said in refusal(written(text))


# --- Wrong keys and values -------------------------------------------------------------------------------------------

WRONG = {
    "an unknown key, with the nearest": ("limits: {}", "limts: {}", "unknown key limts: did you mean limits?"),
    "an unknown key of the incident": ("id:", "idd: a\n      id:", "unknown key incident.idd: did you mean id?"),
    "an unknown key like no other": ("limits: {}", "zzzzzz: 1", "unknown key zzzzzz: parameters/example.yaml explains every key"),
    "a missing key": ("id: checkout-slow", "title: x", "incident.id is missing"),
    "no incident": ("incident:", "narrative:", "incident is missing"),
    "an id that is no file name": ("checkout-slow", "../../etc", "incident.id: String should match pattern"),
    "a number for an id": ("checkout-slow", "5", "incident.id: Input should be a valid string"),
    "a list for a mapping": ("limits: {}", "limits: [a]", "limits: Input should be a valid dictionary"),
    "words for a limit": ("limits: {}", "limits: {a: {b: many}}", "limits.a.b: Input should be a valid number"),
    "a time without offset": ("2026-11-03T14:00Z", "2026-11-03T14:00", "has no offset from UTC: write 2026-11-03T14:00Z"),
    "no time": ("2026-11-03T14:00Z", "yesterday", "incident.start: 'yesterday' is not a time"),
    "a number for a time": ("2026-11-03T14:00Z", "1762178400", "incident.start: is not a time"),
    "an impossible time": ("2026-11-03T14:00Z", "2026-02-30T14:00Z", "incident.start: '2026-02-30T14:00Z' is not a time"),
    "an unknown platform": ("neurallog", "neuralog", "name one that ships (neurallog)"),
    "a platform that is not there": ("neurallog", "gone/own.yaml", "no platform file gone/own.yaml"),
    "a reversed window": ("15:30+01:00", "12:30+01:00", "incident: the window is empty or reversed: start 2025-11-03T14:00Z"),
    "an empty window": ("15:30+01:00", "15:00+01:00", "incident: the window is empty or reversed"),
    "a baseline that reaches into the incident": (
        "platform:", "  baseline: {start: 2025-11-03T13:00Z, end: 2025-11-03T14:01Z}\n    platform:", "the baseline must end before",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_wrong(written, how):
    old, new, said = WRONG[how]
    path = written(WHOLE.replace(old, new, 1).replace("2026", "2025"))
    assert said.replace("2026", "2025") in refusal(path)


def test_a_window_in_the_future(written):
    """Two minutes are tolerated: clocks differ."""
    text = "incident: {{id: a, start: 2025-11-03T14:00Z, end: '{end}'}}\nplatform: neurallog"
    soon, later = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (1, 3))
    parameters.read(written(text.format(end=soon.isoformat())))
    assert "the window ends in the future" in refusal(written(text.format(end=later.isoformat())))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("budget", {"deadline_s": 1}, "platform.budget.deadline_s: Input should be greater than or equal to 5"),
        ("budget", {"dedline_s": 9}, "unknown key platform.budget.dedline_s: did you mean deadline_s?"),
        ("systems", {}, "platform.systems.postgres is missing"),
        ("systems", {"redis": {"Main": {"endpoint": "A"}}}, "platform.systems.redis"),
        ("systems", {"redis": {"main": {"endpoint": "redis://here"}}}, "platform.systems.redis.main.endpoint: String should match"),
        ("systems", {"redis": "none"}, "platform.systems.redis"),
    ],
)  # fmt: skip
def test_wrong_in_the_platform_file(written, tmp_path, key, value, said):
    whole = parameters.read_yaml(parameters.shipped("platforms/neurallog.yaml"))
    systems = whole["systems"] | value if value and key == "systems" else value
    (tmp_path / "own.yaml").write_text(json.dumps(whole | {key: systems}))
    assert said in refusal(written(WHOLE.replace("2026", "2025").replace("neurallog", str(tmp_path / "own.yaml"))))


# --- Secrets ---------------------------------------------------------------------------------------------------------

# Made at run time, so that no secret, not even a made-up one, is in this file.
SECRETS = {
    "a password in a URL": lambda: f"postgresql://app:{secrets.token_urlsafe(12)}@db/neurallog",
    "a token": lambda: "ghp_" + secrets.token_hex(20),
    "a JWT": lambda: ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (
        {"alg": "HS256"}, {"sub": secrets.token_hex(8)}, {"sig": secrets.token_hex(16)},
    )),
}  # fmt: skip


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("place", ["narrative", "platform"])
def test_a_secret_is_refused_and_not_repeated(written, tmp_path, kind, place):
    secret = SECRETS[kind]()
    if place == "narrative":
        path = written(WHOLE.replace("2026", "2025") + f"    narrative: {{summary: '{secret}'}}\n")
    else:
        whole = parameters.read_yaml(parameters.shipped("platforms/neurallog.yaml"))
        (tmp_path / "own.yaml").write_text(json.dumps(whole | {"promql": {"a": secret}}))
        path = written(WHOLE.replace("2026", "2025").replace("neurallog", str(tmp_path / "own.yaml")))
    said = refusal(path)
    assert "seems to hold a secret" in said
    assert "move it to an environment variable" in said
    assert secret not in said


def test_a_secret_in_a_file_that_is_not_yaml_is_not_repeated(written):
    secret = secrets.token_urlsafe(12)
    assert secret not in refusal(written(f'incident:\n  password: "{secret}\n  id: [a\n'))
    assert secret not in refusal(written(f"incident: {{ password: {secret}, : ]"))


def test_the_scope_is_that_of_the_incident_else_that_of_the_platform():
    asked = parameters.resolve(
        {"incident": {"id": "x", "start": "2026-11-03T14:00Z", "end": "2026-11-03T14:45Z"}, "platform": "neurallog"}
    )
    assert asked.incident.scope(asked.platform) == asked.platform.namespaces
    narrowed = asked.incident.model_copy(update={"namespaces": ("shop",)})
    assert narrowed.scope(asked.platform) == ("shop",)
