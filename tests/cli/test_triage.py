"""`nl-forensics now` without a cluster: the incident window, the scope, and the error without a system."""

from datetime import UTC, datetime, timedelta

import pytest

from nl_forensics import cli
from nl_forensics.checks import run_checks
from nl_forensics.cli import asking
from nl_forensics.collection import triage
from nl_forensics.errors import ParameterError
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import open_round
from nl_forensics.inputs.incident import Incident
from nl_forensics.inputs.parameters import Parameters, read_yaml, shipped
from nl_forensics.inputs.platform import Platform
from nl_forensics.sources import Proof
from tests.asking import platform
from tests.checks.test_kubernetes_checks import container, event, pod, rows

END = datetime.now(UTC).replace(microsecond=0)
SYSTEMS = read_yaml(shipped("platforms/neurallog.yaml"))["systems"]
HERE = ("neurallog-*", "tenant-*")
ADDRESSES = {system: instances["main"]["endpoint"] for system, instances in SYSTEMS.items()}


def before(**how_long) -> str:
    return (END - timedelta(**how_long)).isoformat()


def looked(folder, **answers) -> Case:
    """A case that is open, in which these tables were answered: rows by source."""
    systems = {"kubernetes": SYSTEMS["kubernetes"], "prometheus": SYSTEMS["prometheus"]}
    asked = Parameters(
        incident=Incident(id="now", start=before(hours=6), end=END.isoformat()),
        platform=platform(systems=dict.fromkeys(SYSTEMS, "absent") | systems),
    )
    step = open_round(folder / "case", asked)
    for name, records in answers.items():
        recording = step.record(name, "main")
        recording.write([*records, Proof("asked")])
        recording.close(END.isoformat())
    step.close()
    return Case(folder / "case")


def records(source, *given) -> list[dict]:
    table = rows(source, *given)
    return table.astype(object).where(table.notna(), None).to_dict("records")


def pods_of(*containers) -> dict:
    """The pods that these containers are of, beside them."""
    states = [dict(one, ready=one["state"] == "running") for one in containers]
    found = {one["uid"]: {key: one[key] for key in ("namespace", "pod", "uid", "workload")} for one in states}
    return {
        "k8s_containers": records("k8s_containers", *states),
        "k8s_pods": records("k8s_pods", *(pod(**one) for one in found.values())),
    }


def crashed(name, ended, namespace="tenant-acme", restarts=1, **more) -> dict:
    return container(
        namespace=namespace,
        pod=f"{name}-1",
        uid=name,
        workload=name,
        restarts=restarts,
        last_reason="Error",
        last_exit_code=1,
        last_finished_at=ended,
        pod_created_at=before(days=9),
        **more,
    )


def alert(name, since, **more) -> dict:
    state = more.pop("state", "firing")
    return {"alert": name, "state": state, "severity": "page", "active_at": since, "labels": {"alertname": name}} | more


# --- since when --------------------------------------------------------------------------------------------------------


def test_a_crash_loop_that_goes_on_comes_before_a_crash_that_is_over(tmp_path):
    loop = crashed("api", before(minutes=1), restarts=4, state="waiting", state_reason="CrashLoopBackOff")
    over = crashed("worker", before(hours=3))
    start, because = triage.propose(looked(tmp_path, **pods_of(over, loop)), HERE)
    assert "tenant-acme/api crashed (Error, restarts: 4)" in because
    assert END - timedelta(minutes=30) < start < END - timedelta(minutes=20)  # 4 pauses of 5 minutes, and the lead


def test_a_crash_that_is_over_where_nothing_goes_on(tmp_path):
    start, because = triage.propose(looked(tmp_path, **pods_of(crashed("worker", before(hours=3)))), HERE)
    assert start == END - timedelta(hours=3, minutes=5)
    assert because.startswith("tenant-acme/worker crashed")


def test_the_first_of_alerts_and_what_is_no_alert(tmp_path):
    alerts = (
        alert("Late", before(minutes=20)),
        alert("Early", before(minutes=40)),
        alert("Pending", before(minutes=50), state="pending"),
        alert("Watchdog", before(hours=2), severity="none"),  # a dead man's switch always fires
        alert("Chronic", before(days=2)),
    )
    start, because = triage.propose(looked(tmp_path, prom_alerts=alerts), HERE)
    assert start == END - timedelta(minutes=45)
    assert because.startswith("alert Early fires, since ")


def test_a_warning_counts_while_it_is_repeated(tmp_path):
    fresh = event(first_at=before(minutes=25), at=before(minutes=2), reason="FailedMount")
    stale = event(first_at=before(minutes=55), at=before(minutes=50), reason="Unhealthy")
    start, because = triage.propose(looked(tmp_path, k8s_events=records("k8s_events", fresh, stale)), HERE)
    assert start == END - timedelta(minutes=30)
    assert because.startswith("Pod tenant-acme/api-1: FailedMount, since ")


def test_the_rollout_just_before_is_in_the_window(tmp_path):
    unready = pod(ready=False, ready_changed_at=before(minutes=20))
    old, new, first = (
        {"namespace": "tenant-acme", "workload": "api", "revision": revision, "created_at": created}
        for revision, created in ((2, before(hours=2)), (3, before(minutes=35)), (1, before(minutes=45)))
    )
    tables = {
        "k8s_pods": records("k8s_pods", unready),
        "k8s_containers": [],
        "k8s_replica_sets": records("k8s_replica_sets", old, new, first),
    }
    start, because = triage.propose(looked(tmp_path, **tables), HERE)
    assert start == END - timedelta(minutes=40)
    assert "was unready" in because
    assert "tenant-acme/api was rolled out at" in because


def test_another_namespace_is_out_of_scope(tmp_path):
    case = looked(tmp_path, **pods_of(crashed("dns", before(hours=3), namespace="kube-system")))
    assert triage.propose(case, HERE).start == END - timedelta(minutes=30)
    assert triage.propose(case, ()).start == END - timedelta(hours=3, minutes=5)


def test_what_began_long_ago_is_chronic(tmp_path):
    unready = records("k8s_pods", pod(ready=False, ready_changed_at=before(days=9)))
    start, because = triage.propose(looked(tmp_path, k8s_pods=unready, k8s_containers=[]), HERE)
    assert start == END - timedelta(minutes=30)
    assert "tenant-acme/api was unready for longer than 6 h" in because


def test_a_data_gap_is_not_called_quiet(tmp_path):
    _, because = triage.propose(looked(tmp_path, k8s_events=[]), HERE)
    assert because.startswith("the last 30 minutes: no recent symptom has a time (data gaps: prom_alerts, k8s_pods, ")
    assert "k8s_events" not in because


# --- of what -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "scope"),
    [
        (
            ("default", "tenant-acme"),
            ("neurallog-system", "neurallog-operator-system", "neurallog-monitoring", "tenant-*"),
        ),
        (("default", "shop"), ()),
    ],
)
def test_the_platforms_namespaces_or_all(tmp_path, there, scope):
    case = looked(tmp_path, k8s_namespaces=records("k8s_namespaces", *({"name": name} for name in there)))
    asked, _ = triage.question(case)
    assert asked.platform.namespaces == scope
    assert asked.incident.namespaces == ()


def test_a_namespace_that_does_not_exist_is_refused(tmp_path):
    case = looked(tmp_path, k8s_namespaces=records("k8s_namespaces", {"name": "tenant-acme"}))
    assert triage.question(case, ("tenant-*",))[0].incident.namespaces == ("tenant-*",)
    with pytest.raises(ParameterError, match="no namespace tenant-acne; it has tenant-acme"):
        triage.question(case, ("tenant-*", "tenant-acne"))


def test_a_namespace_is_missed_also_when_triage_ended_before_any_was_seen(tmp_path, monkeypatch, capsys):
    assert triage.question(looked(tmp_path / "first"), ("shopp",))[0].incident.namespaces == ("shopp",)
    whole = looked(tmp_path / "whole", k8s_namespaces=records("k8s_namespaces", {"name": "shop"}))
    monkeypatch.setattr(asking, "collected", lambda *_: whole)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert cli.run(["now", "-n", "shopp"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "nl-forensics: this cluster has no namespace shopp; it has shop\n")


def test_since_is_obeyed_and_the_baseline_is_as_long(tmp_path):
    asked, because = triage.question(looked(tmp_path), since=timedelta(hours=2))
    assert asked.incident.start == END - timedelta(hours=2)
    assert asked.incident.baseline.end == asked.incident.start
    assert asked.incident.baseline.seconds == asked.incident.seconds
    assert because == "from --since"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400)])
def test_durations(text, seconds):
    assert triage.duration(text).total_seconds() == seconds


# --- systems without an address ----------------------------------------------------------------------------------------


def test_what_has_no_address_is_left_out_and_is_a_gap(tmp_path, monkeypatch):
    for name in ADDRESSES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NL_REDIS_URL", "redis://r:1/0")
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    asked = triage.opening()
    assert set(asked.platform.systems.instances("redis")) == {"main"}
    others = {system: variable for system, variable in ADDRESSES.items() if system != "redis"}
    assert set(asked.platform.left_out) == set(others)
    step = open_round(tmp_path / "case", asked)
    reached = {"system": "redis", "answered": True, "why": "", "took_ms": 1.0, "at": END.isoformat()}
    recording = step.record("systems_reached", "redis-main")
    recording.write([reached])
    recording.close(END.isoformat())
    step.close()
    [found] = [one for one in run_checks(Case(tmp_path / "case")) if one.check == "every_system_answers"]
    assert found.status == "unknown"
    assert set(found.remedy.removeprefix("set ").split(", ")) == set(others.values())


def test_every_address_is_known():
    told = Platform.model_validate(read_yaml(shipped("platforms/neurallog.yaml")))
    assert told.left_out == {}


def test_nothing_to_ask(tmp_path, monkeypatch, capsys):
    for name in ADDRESSES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NL_FORENSICS_WORKSPACE", str(tmp_path))
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    assert cli.run(["now"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("nl-forensics: no system to query: set KUBECONFIG to the path of a kubeconfig")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("since", ["30", "0m", "m", "-5m", "30min", "99999999999d"])
def test_a_since_that_is_none(since, capsys):
    assert cli.run(["now", f"--since={since}"]) == 2
    assert "write 90s, 30m, 2h or 1d" in capsys.readouterr().err


# --- a round whose question changed ------------------------------------------------------------------------------------


def test_answers_to_the_question_before_are_kept_but_not_used(tmp_path):
    case = looked(tmp_path, k8s_events=[], k8s_pods=[])
    asked, because = triage.question(case, since=timedelta(minutes=30))
    step = open_round(case.folder, case.parameters)
    step.change_question(asked, because)
    assert step.best_answers() == {}
    recording = step.record("k8s_events", "main")
    recording.write([Proof("asked again")])
    recording.close(END.isoformat())
    step.finish()
    step.close()
    case = Case(case.folder)
    assert case.verify() == []
    assert case.answers["k8s_events"]["main"].file == "1/data/k8s_events/main.2.ndjson.gz"
    assert not case.has_answered("k8s_pods")
    assert case.incident.start == END - timedelta(minutes=30)
    assert len(list(case.rounds[0].answers())) == 3
