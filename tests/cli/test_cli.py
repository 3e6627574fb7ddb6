"""The command line: one clear line for whatever goes wrong, and the documented exit code."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from nl_forensics import checks, cli, sources
from nl_forensics.checks import run_checks
from nl_forensics.cli import judging
from nl_forensics.delivery.report import notebooks
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.demo import demo
from tests.charts.test_charts import case_of
from tests.charts.test_tables import lines_of
from tests.investigation import Investigation, ago
from tests.recorded import story
from tests.stack import faults, postgres
from tests.stack.process import HOST

CREDENTIALS = "check the user and the password in the environment variable of this endpoint"


@pytest.fixture
def one_redis(tmp_path, redis_server):
    return Investigation(tmp_path, {"redis": {"main": redis_server.url()}})


def one_line(capsys):
    """The only line on standard error."""
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("nl-forensics: ")
    return line.removeprefix("nl-forensics: ")


# --- Systems that don't let us in ------------------------------------------------------------------------------------

TROUBLE = {
    "postgres: wrong password": ("postgres", lambda s: s.dsn(password="no"), "password authentication failed", CREDENTIALS),
    "postgres: wrong port": ("postgres", lambda s: s.dsn().replace(f":{s.port}", ":1"), "Connection refused", "whether the server runs"),
    "postgres: no TLS there": ("postgres", lambda s: s.dsn(sslmode="require"), "does not support SSL", "check sslmode"),
    "postgres: unknown database": ("postgres", lambda s: s.dsn(database="gone"), 'database "gone" does not exist', "check the names"),
    "postgres: unknown role": ("postgres", lambda s: s.dsn().replace("//nl_forensics", "//nobody"), "authentication failed", CREDENTIALS),
    "postgres: no address": ("postgres", lambda s: "here", "is not a PostgreSQL address", "postgresql://user:password@host:5432/database"),
    "postgres: a password for a port": ("postgres", lambda s: "postgresql://db:hush/x", "the port in the address is not a number", "postgresql://"),
    "postgres: a password with @": ("postgres", lambda s: "postgresql://u:hu@sh@db/x", "ends the password too early", "percent-encode"),
    "pgbouncer: wrong password": ("pgbouncer", lambda s: s.dsn(password="no"), "authentication failed", CREDENTIALS),
    "pgbouncer: no console": ("pgbouncer", lambda s: s.dsn(database="neurallog"), "PgBouncer's console", "name the database pgbouncer"),
    "redis: wrong password": ("redis", lambda s: s.url(password="no"), "invalid username-password pair", CREDENTIALS),
    "redis: wrong port": ("redis", lambda s: s.url().replace(f":{s.port}", ":1"), "Connection refused", "whether the server runs"),
    "redis: no TLS there": ("redis", lambda s: s.url().replace("redis:", "rediss:"), "", "check the address: redis:// or rediss://"),
    "redis: no address": ("redis", lambda s: "localhost", "is not a Redis address", "redis://user:password@host:6379/0"),
    "redis: a password with /": ("redis", lambda s: "redis://u:hu/sh@db/0", "ends the password too early", "percent-encode"),
    "prometheus: wrong port": ("prometheus", lambda s: f"http://{HOST}:1", "Connection refused", "whether the server runs"),
    "prometheus: no TLS there": ("prometheus", lambda s: s.url.replace("http:", "https:"), "wrong version number", "http:// or https://"),
    "prometheus: wrong prefix": ("prometheus", lambda s: s.url + "/prefix", "HTTP 404, text/plain", "with its path prefix"),
    "prometheus: no address": ("prometheus", lambda s: "localhost:9090", "is not that of a Prometheus", "http://host:9090"),
    "prometheus: not configured": ("prometheus", lambda s: "", "TEST_PROMETHEUS_MAIN is not set", "set TEST_PROMETHEUS_MAIN, or declare"),
}  # fmt: skip


@pytest.mark.server
@pytest.mark.parametrize("what", TROUBLE)
def test_what_does_not_let_us_in_is_one_line_with_a_remedy(what, tmp_path, request, capsys):
    system, address_of, why, remedy = TROUBLE[what]
    asked = Investigation(tmp_path, {system: {"main": address_of(request.getfixturevalue(f"{system}_server"))}})
    assert asked.command("collect", asked.file) == 3
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    [line] = [line for line in said.out.splitlines() if "data gap" in line]
    assert line.startswith(f"  data gap, {system}-main: ")
    assert why in line
    assert remedy in line
    assert "hush" not in said.out + said.err
    assert "hu@sh" not in said.out + said.err
    assert "sh@db" not in said.out + said.err


def test_a_prometheus_that_answers_html(tmp_path, capsys):
    with faults.html() as port:
        asked = Investigation(tmp_path, {"prometheus": {"main": f"http://{HOST}:{port}"}})
        assert asked.command("findings", asked.file) == 1
    said = capsys.readouterr().out
    assert "prometheus-main: did not answer: HTTP 200, text/html, is not JSON" in said


def test_too_many_connections_is_an_outage(tmp_path):
    with postgres.start(settings={"max_connections": 6, "superuser_reserved_connections": 1}) as server:
        taken = [server.connect("app") for _ in range(5)]
        asked = Investigation(tmp_path, {"postgres": {"main": server.dsn()}})
        [row] = asked.collect().read("systems_reached").rows.to_dict("records")
        for session in taken:
            session.close()
    assert not row["answered"]
    assert "remaining connection slots are reserved" in row["why"]


# --- Usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["collect", "findings", "report", "doctor"])
def test_parameters_that_are_not_there(command, tmp_path, capsys):
    assert cli.run([command, str(tmp_path / "gone.yaml")]) == 2
    assert "gone.yaml can't be read: No such file or directory" in one_line(capsys)


@pytest.mark.parametrize("command", ["collect", "doctor"])
def test_a_folder_in_place_of_parameters(command, tmp_path, capsys):
    assert cli.run([command, str(tmp_path)]) == 2
    assert "is a folder" in one_line(capsys)


@pytest.mark.parametrize("command", ["findings", "report", "verify"])
def test_a_folder_that_holds_no_case(command, tmp_path, capsys):
    assert cli.run([command, str(tmp_path)]) == 5
    assert one_line(capsys) == f"{tmp_path} holds no case: run `nl-forensics collect PARAMETERS` first"


def test_an_unknown_source(one_redis, capsys):
    assert one_redis.command("collect", one_redis.file, "--again", "redis_slowlogs") == 2
    assert (
        one_line(capsys)
        == "no source is called redis_slowlogs: did you mean redis_slowlog? (`nl-forensics sources` lists them)"
    )
    assert not one_redis.case_folder.exists()


@pytest.mark.parametrize("command", ["findings", "report"])
def test_an_unknown_section(command, one_redis, capsys):
    assert one_redis.command(command, one_redis.file, "--sections", "05,99") == 2
    assert one_line(capsys).startswith("there is no section 99: choose from ")
    assert not one_redis.case_folder.exists()


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"every_system_answer": {}}, "limits.every_system_answer: no such check: did you mean every_system_answers?"),
        (
            {"every_system_answers": {"max_ms": 1}},
            "limits.every_system_answers.max_ms: every_system_answers has no limits",
        ),
    ],
)
def test_an_unknown_check_or_limit(limits, said, tmp_path, redis_server, capsys):
    asked = Investigation(tmp_path, {"redis": {"main": redis_server.url()}}, more={"limits": limits})
    assert asked.command("collect", asked.file) == 2
    assert one_line(capsys) == said
    assert not asked.case_folder.exists()


def test_a_case_of_another_window(one_redis, tmp_path, redis_server, capsys):
    one_redis.collect()
    other = {"id": "test", "start": ago(hours=5), "end": ago(hours=4)}
    asked = Investigation(tmp_path, {"redis": {"main": redis_server.url()}}, incident=other)
    assert asked.command("findings", asked.file) == 2
    assert "was collected for other parameters: start is" in one_line(capsys)


@pytest.mark.parametrize("words", [["note", "demo", "x"], ["reveal", "demo", "email~aaaaaaaaaaaaa"]])
def test_the_demo_case_is_not_written_to(words, capsys):
    assert cli.run(words) == 2
    assert one_line(capsys) == "the demo case is read-only: use another case"


def test_nothing_is_collected_into_the_demo_case(one_redis, capsys):
    assert one_redis.command("collect", one_redis.file, "--case", demo()) == 2
    assert "the demo case is read-only" in one_line(capsys)


def test_a_case_that_is_a_file(one_redis, capsys):
    one_redis.case_folder.write_text("")
    assert one_redis.command("collect", one_redis.file) == 2
    assert str(one_redis.case_folder) in one_line(capsys)


@pytest.mark.parametrize("words", [["collct"], ["collect"], ["collect", "a", "--agian", "b"], ["verify", "a", "b"]])
def test_usage(words, capsys):
    assert cli.run(words) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Error: ")


def test_a_bug_of_ours_has_its_own_exit_code(one_redis, capsys, monkeypatch):
    one_redis.collect()
    monkeypatch.setattr(judging, "run_checks", lambda case, sections: 1 / 0)
    assert one_redis.command("findings", one_redis.case_folder) == 4
    said = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in said
    assert said.splitlines()[-1] == "nl-forensics: internal error: please report it with the traceback above"


# --- What is said ----------------------------------------------------------------------------------------------------


def test_in_a_pipe_progress_is_plain_lines_and_apart_from_the_answer(one_redis):
    done = one_redis.run("collect", one_redis.file, "--json")
    answer = json.loads(done.stdout)
    assert answer["case"] == str(one_redis.case_folder)
    lines = done.stderr.splitlines()
    assert lines[0] == "answer 1: systems_reached of redis-main"
    assert len(lines) == len(answer["coverage"])
    assert "\033" not in done.stderr + done.stdout


def test_findings_of_parameters_collect_once_and_resume(one_redis, capsys):
    code = one_redis.command("findings", one_redis.file)
    first = capsys.readouterr().out
    assert code in (0, 1, 3)
    assert one_redis.command("findings", one_redis.file) == code
    assert capsys.readouterr().out == first
    assert len(one_redis.case.rounds) == 1


@pytest.mark.parametrize("words", [["sources"], ["checks"]])
def test_lists(words, capsys):
    assert cli.run(words) == 0
    plain = capsys.readouterr().out
    assert cli.run([*words, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert len(listed) > 50
    assert all(one["name"] in plain and one["doc"] for one in listed)


def test_doctor_keeps_nothing(one_redis, capsys):
    assert one_redis.command("doctor", one_redis.file) in (0, 3)
    assert "redis-main" in capsys.readouterr().out
    assert not one_redis.case_folder.exists()


def test_doctor_lists_what_stays_undetermined(tmp_path, redis_server, capsys):
    asked = Investigation(tmp_path, {"redis": {"main": redis_server.url(password="no")}})
    assert asked.command("doctor", asked.file, "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert told["unknown"][0]["remedy"] == CREDENTIALS


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_section_without_checks_is_not_reported_as_healthy(more, one_redis, capsys):
    assert one_redis.command("findings", one_redis.file, "--sections", "06", *more) == 3
    assert "No check applies: the platform has none of the systems" in capsys.readouterr().out


def test_findings_as_json(one_redis, capsys):
    code = one_redis.command("findings", one_redis.file, "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"]["exit_code"] == code
    assert {"check", "section", "status", "severity", "subject", "because", "when", "rows"} <= told["findings"][
        0
    ].keys()
    assert told["coverage"]


def test_the_reader_of_a_pipe_may_close_it(one_redis):
    """`nl-forensics sources | head -1`"""
    piped = subprocess.run(
        f"'{sys.executable}' -m nl_forensics sources --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert piped.stdout == "["
    assert piped.stderr == ""


def test_the_guide_lists_what_replaces_each_command(capsys):
    assert cli.run(["guide", "--sections", "05"]) == 0
    told = capsys.readouterr().out
    assert "05 Database issues: notebooks/05_database_issues.ipynb" in told
    assert "C077" in told and "not run: " in told and "connections_leave_room" in told
    assert "C016" not in told


def test_a_section_that_the_guide_does_not_have(capsys):
    assert cli.run(["guide", "--sections", "99"]) == 2
    assert "there is no section 99: choose from 01, 02, " in capsys.readouterr().err


def test_the_guide_as_json(capsys):
    assert cli.run(["guide", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "no_container_runs_out_of_memory" in told["06"]["commands"]["C085"]["checks"]
    assert "k8s_containers" in told["06"]["commands"]["C085"]["sources"]


@pytest.mark.notebook
def test_a_report_of_a_case_that_is_named_from_here(tmp_path):
    """Notebooks run side by side, in a folder of their own, and no path that was given means another place meanwhile."""
    shutil.copytree(story("demo"), tmp_path / "cases/here")
    command = [sys.executable, "-m", "nl_forensics", "report", "cases/here", "--out", "out", "--sections", "04,10"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    judged = run_checks(Case(story("demo")), ("04", "10"))
    assert (done.returncode, done.stderr) == (judged.exit_code(), "")
    assert done.stdout.splitlines()[-1] == "out/report.html"
    told = json.loads((tmp_path / "out/findings.json").read_text(encoding="utf-8"))
    assert [(one["check"], one["status"]) for one in told["findings"]] == [(one.check, one.status) for one in judged]
    assert len(list((tmp_path / "out/notebooks").iterdir())) == 2
    assert "This notebook failed" not in (tmp_path / "out/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["checks", "no_container_runs_out_of_memory"],
            ["  sources      k8s_containers", "the kernel kills the process"],
        ),
        (["checks", "no_log_falls_silent"], ["  limits       min_s=300, factor=10", "silent for 5 min and 10 times"]),
        (
            ["sources", "k8s_pods", "redis_slowlog"],
            ["needs        kubernetes list pods", "redis_slowlog\n", "  checks       "],
        ),
    ],
)
def test_what_is_named_is_explained(words, told, capsys):
    assert cli.run(words) == 0
    said = capsys.readouterr().out
    assert [one for one in told if one.lower() not in said.lower()] == []


@pytest.mark.parametrize("kind", ["check", "source"])
def test_an_unknown_name_gets_a_suggestion(kind, capsys):
    nearest = {"check": "every_node_is_ready", "source": "redis_slowlog"}[kind]
    assert cli.run([f"{kind}s", nearest + "s"]) == 2
    hint = f"did you mean {nearest}? (`nl-forensics {kind}s` lists them)"
    assert one_line(capsys) == f"no {kind} is called {nearest}s: {hint}"


@pytest.mark.parametrize("kind", ["checks", "sources"])
def test_everything_can_be_explained(kind, capsys):
    listed = {"checks": checks.load, "sources": sources.load}[kind]()
    assert cli.run([kind, *listed]) == 0
    said = capsys.readouterr().out
    assert all(f"{name}\n" in said for name in listed)
    assert not re.search(r"(?<!\$)\{\w+(:\w+)?\}", said), "a limit that was not filled in"


def test_a_source_explains_its_columns(capsys):
    assert cli.run(["sources", "pg_slots"]) == 0
    said = capsys.readouterr().out
    assert "    retained_bytes  Int64, bytes\n" in said
    assert "null: unknown (" in said
    assert all(f"    {name}  " in said for name in sources.load()["pg_slots"].columns)


def test_there_is_no_report_of_half_a_case(tmp_path, capsys):
    """A notebook would go on with its collection, one beside the other."""
    half = shutil.copytree(story("demo"), tmp_path / "half")
    (half / "1/tagmanifest-sha256.txt").unlink()
    assert cli.run(["report", str(half), "--out", str(tmp_path / "out")]) == 5
    assert one_line(capsys) == f"{half} is incomplete: run `nl-forensics collect {half}` to complete it"
    assert not (tmp_path / "out").exists()


def test_no_text_of_a_log_or_a_server_steers_a_terminal(tmp_path, capsys):
    """Escapes would clear the screen, set its title, write to the clipboard; marks would turn what is read around."""
    evil = "no space left on device \x1b]0;pwned\x07\x1b[2J\r \u202egniht"
    line = lines_of([evil], previous=False)[0] | {"workload": evil}
    logs = {"records": [line], "partial": [[evil, evil, "incident"]]}
    case = case_of(tmp_path, {"k8s_unhealthy_logs": logs, "k8s_logs": {"records": [], "proof": "it was read"}})
    assert cli.run(["findings", str(case.folder), "--sections", "02"]) == 1
    said = capsys.readouterr().out
    assert "no space left on device  ]0;pwned  [2J   gniht" in said
    assert all(sign.isprintable() or sign == "\n" for sign in said)
    assert all(sign.isprintable() or sign == "\n" for sign in repr(run_checks(case, ("02",))))


@pytest.mark.parametrize("text", ["5", "05", " 5,"])
def test_a_section_by_its_number(text, capsys):
    assert cli.run(["guide", "--sections", text]) == 0
    assert capsys.readouterr().out.startswith("05 ")


@pytest.mark.notebook
def test_an_interrupted_report_does_not_run_to_its_end(tmp_path):
    command = [sys.executable, "-m", "nl_forensics", "report", "demo", "--out", tmp_path / "out"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **streams) as process, ExitStack() as at_last:
        at_last.callback(process.kill)
        while not list(tmp_path.glob("out/notebooks/*.ipynb")):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said, warned = process.communicate(timeout=120)
    assert (process.returncode, said) == (130, "")
    assert "Traceback" not in warned
    assert warned.splitlines()[-1].startswith("interrupted; ")
    assert len(list(tmp_path.glob("out/notebooks/*.ipynb"))) < len(notebooks())


def test_no_name_of_a_file_steers_a_terminal(tmp_path, capsys):
    case = shutil.copytree(story("demo"), tmp_path / "case")
    (case / "1/data/\x1b[2Jall is well").write_text("")
    assert cli.run(["verify", str(case)]) == 5
    [line] = capsys.readouterr().err.splitlines()
    assert " [2Jall is well: was added" in line
    assert line.isprintable()
