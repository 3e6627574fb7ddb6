"""A case keeps what was recorded whatever happens to its writer, and tells whoever altered it."""

import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from unittest import mock

import bagit
import pytest

from nl_forensics import processes
from nl_forensics.checks import run_checks
from nl_forensics.collection.collect import REACHED
from nl_forensics.errors import ParameterError
from nl_forensics.evidence import custody
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Status
from tests.investigation import QUICK, Investigation
from tests.stack import faults
from tests.stack.process import HOST


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, redis_server):
    """A sealed case of one Redis, with a second round that asked one source again. Not to be changed: copy it."""
    asked = Investigation(tmp_path_factory.mktemp("recorded"), {"redis": {"main": redis_server.url()}})
    asked.collect()
    asked.collect(again=("redis_slowlog",))
    return asked


@pytest.fixture
def copied(recorded, tmp_path):
    """The folder of a copy."""
    return shutil.copytree(recorded.case_folder, tmp_path / "case")


def faults_of(folder):
    return Case(folder).verify()


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def names(folder):
    return [path.relative_to(folder).as_posix() for path in files(folder)]


# --- Whole -----------------------------------------------------------------------------------------------------------


def test_an_untouched_case_is_whole_for_everybody(recorded):
    assert recorded.case.verify() == []
    assert recorded.command("verify", recorded.case_folder) == 0
    for step in ("1", "2"):
        bagit.Bag(str(recorded.case_folder / step)).validate()
        for manifest in (custody.MANIFEST, custody.TAGS):
            subprocess.run(
                ["sha256sum", "--check", "--strict", "--quiet", manifest], cwd=recorded.case_folder / step, check=True
            )


def test_reading_changes_nothing(recorded):
    """So that a case can be read from a medium that can't be written, and by who may not write."""
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in recorded.case_folder.rglob("*")}
    assert recorded.command("verify", recorded.case_folder) == 0
    assert recorded.command("findings", recorded.case_folder) in (0, 1, 3)
    assert len(recorded.case.coverage()) > 5
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in recorded.case_folder.rglob("*")} == before


def test_answers_are_read_without_us(recorded):
    for path in (recorded.case_folder / "1/data").rglob("*.gz"):
        text = subprocess.run(["zcat", path], capture_output=True, check=True, text=True).stdout
        assert all(isinstance(json.loads(line), dict) for line in text.splitlines())


def test_custody_says_what_was_asked_of_whom(recorded):
    events = list(recorded.case.rounds[0].events())
    opened, reached = events[0], next(event for event in events if event["event"] == "reached")
    assert opened["case"] == "test"
    assert "@" in opened["by"]
    assert reached["identity"]["version"].startswith("7.")
    answered = next(event for event in events if event.get("source") == "redis_slowlog")
    assert {"asked_at", "took_ms", "rows", "bytes", "sha256", "partial", "redacted"} <= answered.keys()


# --- Altered ---------------------------------------------------------------------------------------------------------


def places(path, most=10):
    """Bytes to flip: spread over the file, its ends, and its first line ends, which readers treat in many ways."""
    content = path.read_bytes()
    spread = range(0, len(content), max(1, len(content) // most))
    ends = [match.start() for match in re.finditer(b"\n", content)][:4]
    return sorted({*spread, *ends, len(content) - 1}) if content else []


def test_one_flipped_byte_anywhere_is_found_and_the_file_is_named(copied):
    for path in files(copied):
        name, whole = path.relative_to(copied).as_posix(), path.read_bytes()
        for place in places(path):
            for bit in (1, 0x20):
                path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
                found = faults_of(copied)
                assert any(path.name in fault for fault in found), (name, place, bit, found)
        path.write_bytes(whole)
    assert faults_of(copied) == []


def test_a_flipped_byte_gives_exit_5_and_no_traceback(copied, recorded, capsys):
    for path in files(copied):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if whole else b"x")
        assert recorded.command("verify", copied) == 5
        said = capsys.readouterr().err
        assert path.name in said
        assert "Traceback" not in said
        # Whatever else reads the case concludes nothing from it, or tells what it could not read.
        assert recorded.command("findings", copied) in (1, 3, 5)
        assert "Traceback" not in capsys.readouterr().err
        path.write_bytes(whole)


def test_a_flipped_payload_is_found_by_others_too(copied):
    path = next((copied / "1/data").rglob("*.gz"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(copied / "1")).validate()
    assert subprocess.run(
        ["sha256sum", "--check", "--quiet", custody.MANIFEST], cwd=copied / "1", capture_output=True
    ).returncode


@pytest.mark.parametrize("where", ["", "1", "1/data", "1/data/redis_slowlog"])
@pytest.mark.parametrize("name", ["stranger.txt", ".open", "custody.jsonl.part", "3"])
def test_an_added_file_is_found(copied, where, name):
    (copied / where / name).write_text("x")
    assert any(name in fault for fault in faults_of(copied))


def test_a_removed_file_is_found(copied):
    for path in files(copied):
        whole = path.read_bytes()
        path.unlink()
        assert any(path.name in fault for fault in faults_of(copied)), path
        path.write_bytes(whole)


def test_a_renamed_file_is_found(copied):
    for path in files(copied):
        path.rename(path.with_name("other"))
        assert any(path.name in fault for fault in faults_of(copied)), path
        path.with_name("other").rename(path)


def test_a_link_in_place_of_a_file_is_found(copied, tmp_path):
    """Also one to the same content: what lies behind it can be changed later, outside the case."""
    for path in files(copied):
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        assert any(path.name in fault for fault in faults_of(copied)), path
        path.unlink()
        (tmp_path / "elsewhere").rename(path)


@pytest.mark.parametrize("name", ["1", "2", "1/data", "1/data/redis_slowlog"])
def test_a_link_in_place_of_a_folder_is_found(copied, tmp_path, name):
    (copied / name).rename(tmp_path / "elsewhere")
    (copied / name).symlink_to(tmp_path / "elsewhere")
    assert any(fault.startswith(name) for fault in faults_of(copied))


def sealed_anew(folder, lines):
    """Who alters the custody also rewrites the manifests."""
    (folder / custody.CHAIN).write_text("".join(f"{line}\n" for line in lines))
    (folder / custody.TAGS).unlink()
    custody.seal(folder, "case", "somebody")


ALTERED = {
    "removed": lambda lines: lines[:3] + lines[4:],
    "the last one removed": lambda lines: lines[:-1],
    "reordered": lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
    "inserted": lambda lines: [*lines[:3], lines[2], *lines[3:]],
    "added at the end": lambda lines: [*lines, lines[-1]],
    "changed": lambda lines: [*lines[:3], lines[3].replace('"at":"2', '"at":"1'), *lines[4:]],
    "no event": lambda lines: [*lines[:3], "[]", *lines[4:]],
    "all of them gone": lambda lines: [],
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_line_of_custody_is_found_in_spite_of_new_manifests(copied, how):
    step = copied / "2"
    lines = (step / custody.CHAIN).read_text().splitlines()
    sealed_anew(step, ALTERED[how](lines))
    assert any("custody.jsonl" in fault for fault in faults_of(copied))


def test_a_round_rewritten_without_a_flaw_is_found_by_the_next(copied):
    """Whoever can write can make one round consistent; the next round has named its seal."""
    step = copied / "1"
    events = [json.loads(line) for line in (step / custody.CHAIN).read_text().splitlines()]
    (step / custody.CHAIN).unlink()
    chain = custody.Chain(step)
    for event in events:
        facts = {name: value for name, value in event.items() if name not in ("seq", "at", "event", "prev", "by")}
        chain.append(event["event"], by="somebody else", **facts)
    (step / custody.TAGS).unlink()
    custody.seal(step, "case", "somebody")
    assert custody.verify(step, "") == []
    assert faults_of(copied) == [
        "2/custody.jsonl, line 1: the chain is broken here, it does not follow the seal of the round before: "
        "that round was rewritten"
    ]


def test_an_answer_that_was_altered_is_not_judged(copied):
    path = next((copied / "1/data/redis_memory").glob("*.gz"), None) or next((copied / "1/data").rglob("*.gz"))
    source = path.parent.name
    path.write_bytes(gzip.compress(b'{"forged": true}\n'))
    table = Case(copied).read(source)
    assert table.is_blind
    assert table.rows.empty
    assert "was altered or removed" in table.gaps[0].unseen


HALF = {
    "an empty folder": lambda case: shutil.rmtree(case) or case.mkdir(),
    "no answers": lambda case: shutil.rmtree(case / "1/data"),
    "no custody": lambda case: (case / "1/custody.jsonl").unlink(),
    "half the custody": lambda case: os.truncate(case / "1/custody.jsonl", 1000),
    "no question": lambda case: (case / "2/parameters.json").unlink(),
    "half the question": lambda case: os.truncate(case / "2/parameters.json", 100),
    "no manifest": lambda case: (case / "1/manifest-sha256.txt").unlink(),
    "an empty manifest": lambda case: os.truncate(case / "2/tagmanifest-sha256.txt", 0),
    "no first round": lambda case: shutil.rmtree(case / "1"),
    "a file in place of a round": lambda case: shutil.rmtree(case / "1") or (case / "1").write_text(""),
    "an empty round": lambda case: shutil.rmtree(case / "1") or (case / "1").mkdir(),
    "only an empty round": lambda case: shutil.rmtree(case) or (case / "1").mkdir(parents=True),
}


@pytest.mark.parametrize("what", HALF)
def test_a_case_that_is_half_there(copied, recorded, capsys, what):
    HALF[what](copied)
    assert recorded.command("verify", copied) == 5
    said = capsys.readouterr().err
    assert said
    assert "Traceback" not in said
    code = recorded.command("findings", copied)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert code in (2, 5) or (code in (1, 3) and "undetermined" in said.out)
    assert code < 4 or len(said.err.splitlines()) == 1


# --- Rounds ----------------------------------------------------------------------------------------------------------


def test_a_later_round_asks_some_and_inherits_the_rest(recorded):
    case = recorded.case
    assert {path.name for path in (recorded.case_folder / "2/data").iterdir()} == {"redis_slowlog", REACHED}
    assert case.answers["redis_slowlog"]["main"].file.startswith("2/")
    assert case.answers["systems_reached"]["redis-main"].file.startswith("2/")
    assert case.answers["redis_memory"]["main"].file.startswith("1/")
    assert case.before().answers["redis_slowlog"]["main"].file.startswith("1/")
    assert case.gaps("redis_memory") == []


def test_notes_and_revelations_are_in_custody(copied, recorded, capsys):
    assert recorded.command("note", copied, "rolled back, told joe@example.com") == 0
    [note] = Case(copied).notes()
    pseudonym = re.search(r"email~[a-z2-7]{13}", note["text"])[0]
    assert recorded.command("reveal", copied, pseudonym) == 0
    assert capsys.readouterr().out == "joe@example.com\n"
    assert [event["pseudonym"] for event in Case(copied).rounds[-1].events() if event["event"] == "revealed"] == [
        pseudonym
    ]
    assert faults_of(copied) == []
    assert len(Case(copied).rounds) == 4
    assert recorded.command("reveal", copied, "email~aaaaaaaaaaaaa") == 5
    assert "is not in the vault of this machine" in capsys.readouterr().err


def test_a_note_leaves_an_unfinished_round_open(tmp_path, redis_server):
    asked = interrupted(tmp_path, redis_server)
    assert asked.command("note", asked.case_folder, "still collecting") == 0
    assert not asked.case.rounds[-1].seal
    asked.collect()
    assert [note["text"] for note in asked.case.notes()] == ["still collecting"]
    assert asked.case.verify() == []


def interrupted(folder, server, again=(), after=3) -> Investigation:
    """A case whose collection was interrupted after some answers."""
    asked = Investigation(folder, {"redis": {"main": server.url()}})

    def stop(source, instance, left=[after]):  # noqa: B006 (counts)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asked.collect(again=again, on_answer=stop)
    return asked


def test_what_an_unfinished_round_did_not_ask_is_unknown(tmp_path, redis_server):
    """Nothing is fine because nobody has asked yet."""
    case = interrupted(tmp_path, redis_server, after=1).case
    [memory] = [f for f in run_checks(case) if f.check == "redis_memory_is_below_its_limit"]
    assert memory.status is Status.UNKNOWN
    assert "was not asked yet" in memory.because


def assert_nothing_is_asked_twice(case):
    """In one round, what was answered; whether a system answers is another question each time."""
    for step in case.rounds:
        answered = [(a.source, a.instance) for a in step.answers() if not a.error and a.source != REACHED]
        assert len(answered) == len(set(answered))


def test_a_resumed_round_asks_only_what_is_left_and_keeps_its_window(tmp_path, redis_server):
    asked = interrupted(tmp_path, redis_server)
    begun = asked.case.incident
    time.sleep(1.1)  # `end: now` is another second by now
    case = asked.collect()
    assert len(case.rounds) == 1
    assert case.incident == begun
    assert_nothing_is_asked_twice(case)
    assert case.verify() == []


def test_a_round_that_asked_some_sources_again_is_finished_as_it_was_begun(tmp_path, redis_server):
    asked = Investigation(tmp_path, {"redis": {"main": redis_server.url()}})
    asked.collect()
    interrupted(tmp_path, redis_server, again=("redis_slowlog", "redis_memory"), after=2)
    case = asked.collect()
    assert len(case.rounds) == 2
    assert {a.source for a in case.rounds[1].answers()} == {"systems_reached", "redis_slowlog", "redis_memory"}


def test_a_case_is_about_one_incident(tmp_path, redis_server):
    asked = interrupted(tmp_path, redis_server)
    systems = {"redis": {"main": redis_server.url()}}
    with pytest.raises(ParameterError, match="unfinished round about another question: start is"):
        Investigation(tmp_path, systems).collect()
    with pytest.raises(ParameterError, match="is the case of incident test, not of other"):
        Investigation(tmp_path, systems, incident=asked.incident | {"id": "other"}).collect()


def test_a_second_writer_is_refused(tmp_path):
    with faults.silent() as port:
        asked = Investigation(tmp_path, {"redis": {"main": f"redis://{HOST}:{port}"}}, budget=QUICK | {"connect_s": 5})
        with asked.start("collect", asked.file) as first:
            while not (asked.case_folder / "1/custody.jsonl").exists():
                time.sleep(0.02)
            second = asked.run("collect", asked.file)
            os.killpg(first.pid, signal.SIGKILL)
    assert second.returncode == 2
    assert second.stderr == (
        f"nl-forensics: {asked.case_folder} is being collected by another process: wait for it, or name another case\n"
    )


# --- Killed ----------------------------------------------------------------------------------------------------------


def living(mark):
    """Processes that have the mark in their environment, except zombies."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark.encode() in environ.read_bytes():
                found.append(int(environ.parent.name))
    return found


def assert_nobody_lives(mark, within_s=5):
    deadline = time.monotonic() + within_s
    while living(mark):
        assert time.monotonic() < deadline, f"{living(mark)} outlive their collection"
        time.sleep(0.05)


def custody_lines(folder):
    """Every whole line of every round."""
    chains = sorted(folder.glob("*/custody.jsonl"))
    return {path: path.read_bytes().rpartition(b"\n")[0].split(b"\n") for path in chains if path.stat().st_size}


def assert_recorded_answers_are_intact(folder):
    for path, lines in custody_lines(folder).items():
        for event in filter(None, lines):
            event = json.loads(event)
            if event.get("file"):
                assert custody.sha256(path.parent / event["file"]) == event["sha256"]


CASES, MOMENTS = 4, 5


def test_kill_9_at_20_moments_loses_nothing(tmp_path, redis_server):
    """Early, while processes start, while answers land, while the round is sealed: each time resumed, with what was there."""
    with ThreadPoolExecutor() as at_once:
        folders = [tmp_path / str(number) for number in range(CASES)]
        killed = list(at_once.map(killed_and_resumed, folders, [redis_server] * CASES, range(CASES)))
    for asked in killed:
        assert asked.collect().verify() == []
        assert_recorded_answers_are_intact(asked.case_folder)
        assert_nothing_is_asked_twice(asked.case)


def killed_and_resumed(folder, server, seed):
    folder.mkdir()
    asked = Investigation(folder, {"redis": {"main": server.url(), "second": server.url()}})
    moments, mark = random.Random(seed), uuid.uuid4().hex
    for moment in range(MOMENTS):
        before = custody_lines(asked.case_folder)
        with asked.start("collect", asked.file, environment={"NL_MARK": mark}) as collecting:
            for _ in range(moments.randrange(0, 16)):
                collecting.stderr.readline()  # one for each recorded answer
            time.sleep(moments.random() * 0.05)
            collecting.kill()
            said = collecting.stderr.read()
        assert "Traceback" not in said, (moment, said)
        assert_nobody_lives(mark)
        after = custody_lines(asked.case_folder)
        assert all(after[path][: len(lines)] == lines for path, lines in before.items()), moment
        assert_recorded_answers_are_intact(asked.case_folder)
    return asked


@pytest.mark.parametrize("lines", [0, 1, 8])
def test_ctrl_c_is_quiet_and_can_be_resumed(tmp_path, redis_server, lines):
    asked = Investigation(tmp_path, {"redis": {"main": redis_server.url()}})
    mark = uuid.uuid4().hex
    with asked.start("collect", asked.file, environment={"NL_MARK": mark}) as collecting:
        while not asked.case_folder.exists():
            time.sleep(0.01)
        for _ in range(lines):
            collecting.stderr.readline()
        os.killpg(collecting.pid, signal.SIGINT)  # as a terminal does: everybody in the foreground gets it
        said = collecting.stderr.read()
    assert collecting.returncode == 130, said
    assert said.splitlines()[-1] == "interrupted; run the same command to resume"
    assert "Traceback" not in said
    assert_nobody_lives(mark)
    assert asked.collect().verify() == []


def test_ctrl_c_that_another_thread_takes_while_a_worker_starts_is_not_lost(tmp_path, redis_server):
    """numpy's threads take the signal; where it interrupts the pickling of a worker, `copyreg` swallows it."""
    asked = Investigation(tmp_path, {"redis": {"main": redis_server.url()}})
    start, idle = processes.start, threading.Event()

    def interrupted_start(*told):
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        start(*told)

    bystander = threading.Thread(target=idle.wait, daemon=True)
    bystander.start()
    with mock.patch.object(processes, "start", interrupted_start), pytest.raises(KeyboardInterrupt):
        asked.collect()
    idle.set()
    bystander.join()
    assert asked.collect().verify() == []


@pytest.mark.parametrize("begun", [b"", b'{"seq":0,"at":"20'])
def test_killed_before_the_first_line_of_custody(tmp_path, redis_server, begun):
    asked = Investigation(tmp_path, {"redis": {"main": redis_server.url()}})
    (asked.case_folder / "1").mkdir(parents=True)
    (asked.case_folder / "1/custody.jsonl").write_bytes(begun)
    assert asked.collect().verify() == []


def test_a_torn_tail_of_custody_and_a_torn_answer_are_mended(tmp_path, redis_server):
    """As a power cut leaves them."""
    asked = interrupted(tmp_path, redis_server)
    chain = asked.case_folder / "1/custody.jsonl"
    whole = chain.read_bytes()
    chain.write_bytes(whole + b'{"seq":99,"at":"20')
    torn = asked.case_folder / "1/data/redis_torn"
    torn.mkdir()
    records = gzip.compress(b"".join(b'{"n":%d}\n' % n for n in range(1000)))
    (torn / "main.ndjson.gz.part").write_bytes(records[: len(records) // 2])
    (asked.case_folder / "1/tagmanifest-sha256.txt.part").write_text("half")
    case = asked.collect()
    assert chain.read_bytes().startswith(whole)
    assert case.verify() == []
    [kept] = [event for event in case.rounds[0].events() if event.get("source") == "redis_torn"]
    assert kept["error"] == "Interrupted"
    assert kept["rows"] > 100
