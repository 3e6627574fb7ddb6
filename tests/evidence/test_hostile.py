"""A case, a parameter file and log lines of a stranger: refused or shown as text, in bounded time and memory, never as a fault of ours."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest

from nl_forensics import cli
from nl_forensics.checks import judge
from nl_forensics.checks import load as load_checks
from nl_forensics.checks.monitoring.scrapes import _every_step
from nl_forensics.errors import BadAnswer, CaseError
from nl_forensics.evidence import custody, reading
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.demo import demo
from nl_forensics.finding import Finding, Findings, Severity, Status, When
from nl_forensics.sanitize import as_json, of_page, printable
from nl_forensics.sources import load
from nl_forensics.sources.postgres.locks import _paths
from tests.hostile import DATES, TEXTS, WRONG, in_turn, nested

ANSWER = "1/data/pg_activity/main.ndjson.gz"


# --- A case -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def case(tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(demo(), folder)
    return folder


def reseal(folder, change=lambda event: event, packed=None):
    """The newest round with other lines of custody, and one other answer: consistent, as a stranger can write it."""
    round_ = folder / "1"
    if packed is not None:
        (folder / ANSWER).write_bytes(packed)
    lines, last = [], ""
    for number, line in enumerate((round_ / custody.CHAIN).read_text().splitlines()):
        event = change(json.loads(line)) | {"seq": number, "prev": last}
        if packed is not None and event.get("file") == ANSWER.removeprefix("1/"):
            event["sha256"] = hashlib.sha256(packed).hexdigest()
        line = json.dumps(event, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        lines.append(line)
        last = hashlib.sha256(line.encode()).hexdigest()
    (round_ / custody.CHAIN).write_text("".join(f"{line}\n" for line in lines))
    reseal_tags(round_)


def reseal_tags(round_):
    for manifest, files in ((custody.MANIFEST, (round_ / "data").rglob("*")), (custody.TAGS, round_.iterdir())):
        listed = sorted(path for path in files if path.is_file() and path.name != custody.TAGS)
        text = "".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(round_).as_posix()}\n"
            for path in listed
        )
        (round_ / manifest).write_text(text)


def event_of(kind):
    line = {"event": kind, "at": "2026-11-25T03:32:43.218+00:00", "seq": 0, "prev": ""}
    where = {"system": "redis", "instance": "main"}
    more = {
        "opened": {"by": "a", "asks": []},
        "reached": where | {"identity": {}, "clock_offset_s": 0.1, "clock_error_s": 0.1},
        "answered": {
            "source": "pg_activity",
            "instance": "main",
            "asked_at": line["at"],
            "file": "data/pg_activity/main.ndjson.gz",
            "sha256": "0" * 64,
            "rows": 1,
            "error": "",
            "why": "",
            "closes": "",
            "proof": "",
            "partial": [["a", "b", "incident"]],
        },
        "note": {"by": "a", "text": "b"},
    }
    return line | more[kind]


TEXT_FIELDS = {"by", "text", "error", "why", "closes", "proof"}
FIELDS = [(kind, field) for kind in ("opened", "reached", "answered", "note") for field in event_of(kind)]


def is_allowed(field, value):
    if field in TEXT_FIELDS:
        return isinstance(value, str)
    if value == "x":
        return field in ("event", "source", "system", "instance")
    if field == "event":
        return isinstance(value, str)
    return (
        (field, value) in (("file", ""), ("sha256", ""), ("prev", ""))
        or (field in ("asks", "partial") and value == [])
        or (field == "identity" and isinstance(value, dict))
        or (field.startswith("clock_") and (value is None or (value == -1 and value is not True)))
    )


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_each_field_of_custody_is_as_declared(kind, field):
    assert reading.event(json.dumps(event_of(kind)).encode()) == event_of(kind)
    for value in WRONG:
        line = json.dumps(event_of(kind) | {field: value}).encode()
        if not is_allowed(field, value):
            with pytest.raises(ValueError, match=r".+"):
                reading.event(line)


@pytest.mark.parametrize("moment", DATES)
@pytest.mark.parametrize("field", ["at", "asked_at"])
def test_a_time_of_custody_is_one_of_a_collection(field, moment):
    with pytest.raises(ValueError, match=field):
        reading.event(json.dumps(event_of("answered") | {field: moment}).encode())


@pytest.mark.parametrize(
    "file",
    [
        "data/../../etc/passwd",
        "/etc/passwd",
        "data/pg_activity/../../../x.ndjson.gz",
        "data//x.ndjson.gz",
        "data/pg_activity/.x.ndjson.gz",
        "data/pg_activity/main.ndjson.gz\n",
        "custody.jsonl",
    ],
)
def test_an_answer_lies_in_its_round(file):
    with pytest.raises(ValueError, match="file"):
        reading.event(json.dumps(event_of("answered") | {"file": file}).encode())


@pytest.mark.parametrize(
    "line",
    [
        b'{"event":"note","event":"note"}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        nested(100_000).encode(),
        b'{"a":' * 100_000,
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"a":1',
        b"1" * 5000,
    ],
    ids=range(11),
)
def test_no_line_of_another_form_is_an_event(line):
    with pytest.raises(ValueError, match=r".+"):
        reading.event(line)


def test_custody_that_is_not_written_as_ours_is_altered(case, capsys):
    round_ = case / "1"
    for change in (lambda text: text.replace('{"', '{ "', 1), lambda text: text.replace('{"', '{"at":"x","', 1)):
        before = (round_ / custody.CHAIN).read_text()
        (round_ / custody.CHAIN).write_text(change(before))
        reseal_tags(round_)
        assert cli.run(["verify", str(case)]) == 5
        assert cli.run(["findings", str(case)]) == 5
        assert "custody.jsonl, line 1" in capsys.readouterr().err
        (round_ / custody.CHAIN).write_text(before)


PACKED = {
    "no gzip": b"x",
    "cut": gzip.compress(b'{"pid": 1}\n')[:-10],
    "empty": b"",
    "no record": gzip.compress(b"[]\n"),
    "twice": gzip.compress(b'{"pid": 1, "pid": 2}\n'),
    "NaN": gzip.compress(b'{"pid": NaN}\n'),
    "deep": gzip.compress(b'{"pid": ' + nested(100_000).encode() + b"}\n"),
    "wrong": gzip.compress(b'{"pid": {"a": []}}\n'),
    "surrogate": gzip.compress(b'{"pid": "\\ud800"}\n'),
    "more than custody says": gzip.compress(b'{"pid": 1}\n' * 5000),
    "huge number": gzip.compress(b'{"pid": ' + b"9" * 4000 + b"}\n"),
    "no UTF-8": gzip.compress(b'{"pid": "\xff"}\n'),
}


@pytest.fixture(scope="module")
def resealed(tmp_path_factory):
    """A case of which one answer is replaced."""
    folder = tmp_path_factory.mktemp("resealed") / "case"
    shutil.copytree(demo(), folder)

    def replaced(packed):
        reseal(folder, packed=packed)
        return Case(folder)

    return replaced


@pytest.mark.parametrize("kind", PACKED)
def test_an_answer_that_none_of_ours_can_be_costs_its_own_checks(kind, resealed):
    case = resealed(PACKED[kind])
    about = [check for name, check in load_checks().items() if "pg_activity" in check.needs]
    assert about
    findings = [one for check in about[:3] for one in judge(check, case)]
    assert {one.status for one in findings} == {Status.UNKNOWN}
    assert not [one for one in findings if one.bug]
    assert not case.read("pg_databases").is_blind


def test_sizes_are_bounded_before_decompression(case, monkeypatch):
    """3 MB of gzip hold 3 GB."""
    monkeypatch.setattr(reading, "MAX_ANSWER_BYTES", 10_000_000)
    reseal(case, packed=gzip.compress(b" " * 20_000_000, 1))
    assert "holds more" in Case(case).read("pg_activity").gaps[0].unseen
    monkeypatch.setattr(reading, "MAX_ANSWER_BYTES", 1000)
    for packed in (gzip.compress(b" " * 2000), gzip.compress(b" " * 600) * 2):  # also of several members together
        with pytest.raises(ValueError, match="holds more than 1,000 bytes"):
            reading.decompressed(packed)


@pytest.mark.server  # a process of its own
def test_a_bomb_costs_little_memory_and_time(case):
    reseal(case, packed=gzip.compress(b" " * 500_000_000, 1) * 6)
    program = (
        "import sys, resource; from nl_forensics import cli; code = cli.run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program, "findings", case], capture_output=True, text=True, timeout=60)
    assert done.returncode == 5, done.stderr
    assert ANSWER in done.stdout
    assert int(done.stdout.split()[-1]) < 1_000_000  # kB
    assert time.monotonic() - began < 30


def test_a_file_larger_than_any_is_not_read(case, capsys):
    with (case / ANSWER).open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert cli.run(["verify", str(case)]) == 5
    assert ANSWER in capsys.readouterr().err
    with (case / "1" / custody.CHAIN).open("r+b") as sparse:
        sparse.truncate(1 << 40)
    assert cli.run(["verify", str(case)]) == 5
    assert cli.run(["findings", str(case)]) == 5


def test_a_round_with_an_absurd_number_is_named(case):
    (case / "99999999999999999999").mkdir()
    with pytest.raises(CaseError, match="/2 is missing"):
        Case(case).verify()


def test_an_altered_answer_outranks_and_is_named(case, capsys):
    (case / ANSWER).write_bytes(gzip.compress(b"{}\n"))
    (case / "1/data/pg_databases/main.ndjson.gz").unlink()
    assert cli.run(["findings", str(case), "--sections", "05"]) == 5
    said = capsys.readouterr().out
    assert "The case fails verification" in said
    assert ANSWER in said
    assert "pg_databases/main.ndjson.gz" in said
    assert "collect again" not in "".join(line for line in said.splitlines() if ANSWER in line)


# --- Times, chains of locks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "blocked_by", [{7: [7]}, {7: [7], 8: [7]}, {1: [1, 2], 2: [1]}, {1: [2], 2: [1], 3: [3], 4: [1, 3]}], ids=str
)
def test_a_session_that_waits_for_itself_ends(blocked_by):
    waiting = {pid for pid, *_ in _paths(blocked_by)}
    assert waiting
    assert len(waiting) >= len(blocked_by) - 1  # the lowest of a circle stands for it


def test_chains_of_locks_are_bounded():
    crowd = {pid: list(range(1, 61)) for pid in range(2000, 3000)}
    with pytest.raises(ValueError, match="more than"):
        _paths(crowd)


@pytest.mark.parametrize("year", ["0001", "1677", "2262", "9999"])
def test_a_date_beyond_all_years_hides_nothing_else(year):
    record = {"at": f"{year}-12-31T00:00:00Z"}
    source = next(one for one in load().values() if "at" in one.columns and one.name == "k8s_changes")
    rows = source._typed(pd.DataFrame([record]))
    at = rows["at"].iloc[0]
    far = [Finding("c", "06", Status.PROBLEM, "s", "b", severity=Severity.HIGH, when=When.DURING, at=at)]
    assert len(Findings(far * 2)) == 2
    assert at.year in range(1900, 2201)
    assert rows["at"].isna().sum() == 0


def test_steps_between_two_far_moments_are_not_counted_out():
    moments = pd.to_datetime(["1900-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"])
    with pytest.raises(OverflowError, match="steps"):
        _every_step(pd.DataFrame({"instance": "main", "at": moments}))


@pytest.mark.parametrize("name", sorted(load()))
def test_no_record_breaks_more_than_its_answer(name):
    """The rows, or BadAnswer: nothing else."""
    source = load()[name]
    for value in (None, -1, "\ud800", [], {"a": 1}, DATES[1], 10**30):
        record = dict.fromkeys([*source.columns, "reading", "read_at", "metadata", "spec", "status", "values"], value)
        try:
            assert list(source.table([record, {}]).columns) == list(source.columns)
        except BadAnswer:
            continue


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("k8s_flows", {"client_labels": "x"}),
        ("k8s_flows", {"server_ports": "http"}),
        ("prom_server", {"external_labels": "{x}"}),
        ("prom_server", {"external_labels": "[]"}),
        ("prom_targets", {"interval": "--1s"}),
        ("k8s_flows", {"server_namespace_labels": "a=b,c"}),
        ("k8s_policy_rules", {"selector": "{}", "rules": "[1.5]"}),
        ("k8s_policy_rules", {"selector": '{"matchLabels": [1]}', "rules": "[]"}),
        ("k8s_policy_rules", {"selector": "{}", "rules": '[{"from": [{"ipBlock": {"cidr": 1}}]}]'}),
        ("k8s_policy_rules", {"selector": '{"matchExpressions": [{"key": "a", "operator": "Is"}]}', "rules": "[]"}),
    ],
)
def test_what_rules_read_apart_is_of_its_form(name, record):
    with pytest.raises(BadAnswer):
        load()[name].table([record])


# --- Texts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
def test_text_does_nothing_on_a_terminal_in_json_and_on_a_page(text):
    assert printable(text).isprintable()
    written = as_json({"text": text, "lines": [text, text]})
    assert json.loads(written)["text"] == text
    assert written.replace("\n", "").isprintable()
    assert of_page(text).replace("\n", "").replace("\t", "").isprintable()
    (written + of_page(text)).encode()  # no lone surrogate is left


@pytest.mark.parametrize("text", TEXTS)
def test_a_note_is_recorded_and_shown_as_text(text, tmp_path):
    chain = custody.Chain(tmp_path)
    chain.append("note", by="a", text=text)
    assert next(chain.events())["text"] == text.encode("utf-8", "replace").decode()


def test_each_value_in_turn():
    """The lists above are not empty by accident."""
    assert len(in_turn(FIELDS, WRONG)) + len(PACKED) + 2 * len(TEXTS) >= 200
