"""Charts: on every recorded fault, and on tables that are refused, empty, holed or hostile."""

import re
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from functools import cache

import matplotlib
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from nl_forensics import charts, sources
from nl_forensics.charts import CHARTS, style, time_axis, units
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import open_round
from nl_forensics.inputs.parameters import Parameters, resolve
from nl_forensics.sources import Partial, Proof
from tests import recorded

ANSWERS = {name: recorded.specimen(name)["answers"] for name in recorded.specimens()}
SHOWN = {table for chart in CHARTS.values() for table in chart.tables}
SMALLEST_FONT = 9


@cache
def asked(asked_at: str) -> Parameters:
    """The windows: half an hour that ends then, and one two hours before. Resolved once per moment: it reads the platform's file."""
    end = datetime.fromisoformat(asked_at)
    window = {"start": (end - timedelta(minutes=30)).isoformat(), "end": end.isoformat()}
    earlier = {name: (datetime.fromisoformat(at) - timedelta(hours=2)).isoformat() for name, at in window.items()}
    return resolve({"incident": {"id": "test", **window, "baseline": earlier}, "platform": "neurallog"})


def case_of(folder, answers, refused=(), asked_at="2026-11-03T14:30:00+00:00") -> Case:
    """A case that holds these answers (as in a specimen), and was refused the others."""
    step = open_round(folder, asked(asked_at))
    for name, answer in answers.items():
        recording = step.record(name, "main")
        recording.recover(answer["records"])
        recording.write(Partial(*part) for part in answer.get("partial", []))
        recording.write([Proof(answer["proof"])] if answer.get("proof") else [])
        recording.close(answer.get("asked_at", asked_at))
    for name in refused:
        step.record(name, "main").close(asked_at, "NotReachable", "connection refused")
    step.finish()
    step.close()
    return Case(folder)


def drawn(name, case, picture=True):
    """A chart, its picture made: nothing may warn, since a warning would land in the notebook."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart = CHARTS[name](case)
        assert not picture or chart.png.startswith(b"\x89PNG")
    return chart


def laid_out(name, case):
    """A chart, all its texts and lines in their places. No pixel is made: that takes twice the time, and warns of nothing else."""
    with warnings.catch_warnings(), matplotlib.style.context(style.STYLE):
        warnings.simplefilter("error")
        chart = CHARTS[name](case)
        chart.figure.draw_without_rendering()
    return chart


def said(name, case):
    """A chart that shows words in place of an axis. Their picture is the same for all of them, and made once below."""
    return drawn(name, case, picture=False)


def texts(chart) -> str:
    return "\n".join(text.get_text() for text in chart.figure.findobj(Text))


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_names_tables_and_its_question(name):
    assert set(CHARTS[name].tables) <= sources.load().keys()
    assert CHARTS[name].__doc__
    assert getattr(charts, name) is CHARTS[name]
    assert name in charts.__all__


@pytest.mark.parametrize("name", CHARTS)
def test_where_nothing_was_seen_there_is_no_axis_that_looks_healthy(name, tmp_path):
    chart = said(name, case_of(tmp_path, {}, refused=CHARTS[name].tables))
    assert "No data available" in texts(chart)
    assert "connection refused" in chart.words
    assert not any(axes.get_xticks().size for axes in chart.figure.axes)


@pytest.mark.parametrize("name", CHARTS)
def test_what_was_not_collected_is_not_seen(name, tmp_path):
    assert "not asked" in said(name, case_of(tmp_path, {}, refused=["pg_roles"])).words


@pytest.mark.parametrize("name", CHARTS)
def test_empty_without_proof_is_not_seen(name, tmp_path):
    answers = {table: {"records": []} for table in CHARTS[name].tables}
    assert "nothing proves that it was measured" in said(name, case_of(tmp_path, answers)).words


@pytest.mark.parametrize("name", CHARTS)
def test_empty_with_proof_is_told_in_words(name, tmp_path):
    answers = {table: {"records": [], "proof": "it is on"} for table in CHARTS[name].tables}
    assert not said(name, case_of(tmp_path, answers)).figure.axes[0].get_xticks().size


@pytest.mark.parametrize("name", CHARTS)
def test_empty_and_partial_denies_nothing(name, tmp_path):
    part = [["half of it", "ask again", "incident"]]
    answers = {table: {"records": [], "proof": "it is on", "partial": part} for table in CHARTS[name].tables}
    chart = said(name, case_of(tmp_path, answers))
    assert "half of it" in chart.words
    assert "data available" in chart.words.lower()


def test_words_are_a_picture_too(tmp_path):
    evil = "a $formula$ \x1b[31m \n 𓀀 " + "x" * 300
    answers = {"redis_slowlog": {"records": [], "partial": [[evil, "ask again", "incident"]]}}
    assert "No data available" in texts(drawn("slow_commands", case_of(tmp_path, answers)))


def test_sessions_that_a_plain_role_may_not_see_are_not_zero_connections(tmp_path):
    """Without pg_monitor the rows of others have no backend_type, so that they can't be counted as connections."""
    hidden = {"pid": 1, "backend_type": None, "query": "<insufficient privilege>"}
    slots = {"name": "max_connections", "setting": "50", "unit": None, "origin": "default", "pending_restart": False}
    answers = {"pg_activity": {"records": [hidden], "proof": "read"}, "pg_settings": {"records": [slots]}}
    assert "No data available" in drawn("connections_by_state", case_of(tmp_path, answers)).words


@pytest.fixture(scope="module")
def healthy() -> Case:
    return recorded.recorded_case("healthy")


@pytest.mark.parametrize("name", CHARTS)
def test_the_same_data_makes_the_same_chart(name, healthy):
    chart, again = drawn(name, healthy), CHARTS[name](healthy)
    assert "No data available" not in chart.words
    assert (chart.words, chart.fingerprint) == (again.words, again.fingerprint)


@pytest.mark.parametrize("specimen", [name for name, answers in ANSWERS.items() if SHOWN & answers.keys()])
def test_every_recorded_fault_can_be_drawn(specimen, tmp_path):
    answers = ANSWERS[specimen]
    asked_at = min(answer["asked_at"] for answer in answers.values())
    case = case_of(tmp_path, answers, asked_at=asked_at)
    for name in [name for name, chart in CHARTS.items() if set(chart.tables) & answers.keys()]:
        chart = laid_out(name, case)
        assert min(text.get_fontsize() for text in chart.figure.findobj(Text) if text.get_text()) >= SMALLEST_FONT
        assert_told_apart_in_grey(chart)
        assert_the_values_are_labelled(chart)


def assert_told_apart_in_grey(chart):
    """Lines differ in dashes or markers, the parts of bars in their hatches: not in colour alone."""
    for axes in chart.figure.axes:
        lines = {to_hex(line.get_color()): (line.get_linestyle(), str(line.get_marker())) for line in axes.get_lines()}
        assert len(set(lines.values())) == len(lines)
        bars = {to_hex(bar.get_facecolor()): bar.get_hatch() for container in axes.containers for bar in container}
        assert len(set(bars.values())) == len(bars)


HALF_PHRASE = re.compile("(of|are|that|since|is|its) ")


def assert_the_values_are_labelled(chart):
    """An axis of values names them, by a noun: not as the end of a sentence. The headings of a grid stand on top of it."""
    axes = chart.figure.axes[0]
    labels = [axes.get_xlabel(), axes.get_ylabel()]
    assert not [label for label in labels if HALF_PHRASE.match(label)]
    assert labels[0] or not axes.get_xticks().size or axes.xaxis.get_tick_params().get("labeltop")
    assert labels[1] or not axes.get_yticks().size or not axes.get_lines() or axes.containers


def series(window, start, values, **labels):
    """One series of a range query, a sample every 15 s."""
    moments = [[start.timestamp() + 15 * number, str(value)] for number, value in enumerate(values)]
    return {"window": window, "step_s": 15, "metric": labels, "values": moments}


@pytest.fixture
def memory_case(tmp_path):
    end = datetime(2026, 11, 3, 14, 30, tzinfo=UTC)
    past, start = end - timedelta(hours=2, minutes=30), end - timedelta(minutes=30)
    used = [
        series("baseline", past, [1e6] * 9, instance="redis-0"),
        series("incident", start, [1e6, 3e6, 2e6], instance="redis-0"),
    ]
    limit = [series("incident", start, [4e6] * 3, instance="redis-0")]
    answers = {"prom_redis_memory": {"records": used}, "prom_redis_memory_limit": {"records": limit}}
    return case_of(tmp_path, answers)


def test_a_chart_tells_the_worst_value_and_when(memory_case):
    chart = drawn("redis_memory", memory_case)
    assert "highest 2.9 MiB at 2026-11-03 14:00:15 UTC in the incident" in chart.words
    assert "highest 977 KiB in the baseline" in chart.words
    assert "maxmemory 3.8 MiB" in texts(chart)


def test_a_chart_shows_itself_once_as_picture_words_and_fingerprint(memory_case):
    chart = drawn("redis_memory", memory_case)
    shown = chart._repr_mimebundle_()
    assert shown.keys() == {"image/png", "text/plain", "application/vnd.nl-forensics.chart+json"}
    assert shown["text/plain"] == f"[chart] {chart.words}"
    assert chart.png == CHARTS["redis_memory"](memory_case).png
    assert shown["application/vnd.nl-forensics.chart+json"] == {"words": chart.words, "fingerprint": chart.fingerprint}


def test_the_fingerprint_is_of_the_data(tmp_path):
    start = datetime(2026, 11, 3, 14, 0, tzinfo=UTC)

    def of(folder, value):
        records = [series("incident", start, [1e6, value], instance="redis-0")]
        return drawn(
            "redis_memory", case_of(tmp_path / folder, {"prom_redis_memory": {"records": records}})
        ).fingerprint

    assert of("one", 2e6) == of("same", 2e6 + 0.1), "beyond 6 digits a sum differs from machine to machine"
    assert of("one again", 2e6) != of("other", 2.01e6)


@pytest.mark.parametrize("name", ["redis_memory", "reachability"])
def test_both_windows_are_shaded_alike_on_every_time_axis(name, memory_case, tmp_path):
    start = datetime(2026, 11, 3, 14, 0, tzinfo=UTC)
    up = {"prom_redis_up": {"records": [series("incident", start, [1, 0, 0, 1], instance="redis-0")]}}
    row = {"system": "redis", "answered": True, "why": "", "took_ms": 1, "version": "7", "role": "", "superuser": False}
    reached = {"systems_reached": {"records": [row | {"clock_offset_s": 0, "at": start.isoformat()}]}}
    case = memory_case if name == "redis_memory" else case_of(tmp_path / "up", up | reached)
    baseline, incident = drawn(name, case).figure.axes
    assert [to_hex(axes.patches[0].get_facecolor()) for axes in (baseline, incident)] == [
        style.WINDOWS["baseline"],
        style.WINDOWS["incident"],
    ]


def test_a_hole_in_a_series_is_not_a_line():
    at = pd.to_datetime(["2026-11-03T14:00Z", "2026-11-03T14:01Z", "2026-11-03T14:02Z", "2026-11-03T14:09Z"])
    drawn_points = time_axis.with_breaks(pd.DataFrame({"at": at, "up": [1.0, 1, 1, 1]}), "up")
    assert drawn_points["up"].isna().sum() == 1


def test_text_from_a_server_is_drawn_as_it_is(tmp_path):
    """Formulas of matplotlib, line breaks, control characters and signs that no font has."""
    evil = "SELECT $1, '$\\frac{' \x1b[31m \n 𓀀 " + "x" * 300
    record = {
        "database": "shop", "role": "app", "query_id": "1", "toplevel": True, "query": evil, "calls": 5, "returned_rows": 5,
        "exec_ms": 10.0, "all_exec_ms": 20.0, "hit_blocks": 1, "read_blocks": 0, "temp_bytes": 0, "counted_since": None,
        "statements": 1,
    }  # fmt: skip
    readings = [
        record | {"reading": n, "read_at": f"2026-11-03T14:30:0{n}Z", "exec_ms": 10.0 + n, "all_exec_ms": 20.0 + n}
        for n in (0, 1)
    ]
    chart = drawn("top_statements", case_of(tmp_path, {"pg_statements": {"records": readings}}))
    assert "SELECT $1" in texts(chart)
    assert "\x1b" not in chart.words


def test_drawing_leaves_no_trace(memory_case):
    before = dict(matplotlib.rcParams)
    drawn("redis_memory", memory_case)
    assert dict(matplotlib.rcParams) == before


def test_the_package_loads_no_matplotlib_until_a_chart_is_drawn():
    program = "import sys, nl_forensics as nl; nl.verdict; assert 'matplotlib' not in sys.modules; nl.charts"
    program += "; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("unit", "end", "expected"),
    [
        (units.BYTES, 6_000_000, ["0 B", "1.0 MiB", "2.0 MiB", "3.0 MiB", "4.0 MiB", "5.0 MiB"]),
        (units.SECONDS, 300, ["0 ms", "1 min", "2 min", "3 min", "4 min", "5 min"]),
        (units.PERCENT, 1.0, ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        (units.NUMBER, 3, ["0", "1", "2", "3"]),
        (units.MILLISECONDS, 2500, ["0 ms", "500 ms", "1 s", "1.5 s", "2 s", "2.5 s"]),
    ],
)
def test_ticks_are_round_in_their_unit(unit, end, expected):
    assert [unit.words(tick) for tick in unit.ticks(end)] == expected


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        (units.PERCENT, 0.0001, "< 0.1 %"),
        (units.PERCENT, 0.9996, "99.9 %"),
        (units.PERCENT, 1, "100 %"),
        (units.MILLISECONDS, 0.00075, "0.75 µs"),
        (units.MILLISECONDS, 4.25, "4.2 ms"),
        (units.NUMBER, 1234.5, "1,234"),
    ],
)
def test_small_and_nearly_whole_values_stay_visible(unit, value, expected):
    assert unit.words(value) == expected


# --- Kubernetes -------------------------------------------------------------------------------------------------------

USUAL = {"Int64": 0, "float64": 0.0, "boolean": False, "str": ""}


def row(source, at="2026-11-03T13:30:00Z", **values):
    """A record of a source; what is not given is "", 0, false, null or the time `at`."""
    one = sources.load()[source]
    usual = {name: None if column.nullable else USUAL.get(column.dtype, at) for name, column in one.columns.items()}
    return usual | values


def test_three_hundred_pods_are_no_crowd(tmp_path):
    """Those that are not ready are told by what keeps them from it; two names of each will do."""
    place = {"namespace": "tenant-acme", "phase": "Running", "scheduled": True}
    pods = [row("k8s_pods", **place, pod=f"api-{n}", uid=f"u{n}", ready=n > 40) for n in range(300)]
    case = case_of(tmp_path, {"k8s_pods": {"records": pods}, "k8s_containers": {"records": [row("k8s_containers")]}})
    chart = drawn("pods_not_ready", case)
    assert (
        "41 of 300 pods are not ready. running, but unready: tenant-acme · api-0; tenant-acme · api-1; and 39 more"
        in chart.words
    )
    assert len(chart.figure.axes[0].containers) == 2


def test_a_rollout_before_the_incident_is_on_the_axis_with_its_first_symptom(tmp_path):
    """The window begins at 14:00, the rollout was at 13:50: an axis of the window alone would not show it."""
    of_it = {"namespace": "shop", "workload_kind": "Deployment", "workload": "api"}
    sets = [
        row("k8s_replica_sets", **of_it, name="api-1", revision=1, images="api:1", created_at="2026-11-01T10:00:00Z"),
        row("k8s_replica_sets", **of_it, name="api-2", revision=2, images="api:2", created_at="2026-11-03T13:50:00Z"),
    ]
    died = {"last_reason": "Error", "last_exit_code": 1, "last_finished_at": "2026-11-03T14:10:00Z", "restarts": 1}
    containers = [row("k8s_containers", **of_it, pod="api-2-x", uid="u", container="api", state="running", **died)]
    pods = [row("k8s_pods", **of_it, pod="api-2-x", uid="u", phase="Running", scheduled=True, ready=True)]
    tables = {"k8s_replica_sets": sets, "k8s_containers": containers, "k8s_pods": pods}
    answers = {name: {"records": records} for name, records in tables.items()}
    answers["k8s_controller_revisions"] = {"records": [], "proof": "it was listed"}
    chart = drawn("rollouts", case_of(tmp_path, answers))
    [axes] = chart.figure.axes
    first, last = axes.get_xlim()
    assert all(first < x < last for line in axes.get_lines() for x in line.get_xdata())
    assert "crashed (Error, restarts: 1), since 14:10:00; revision 2 at 13:50:00, image: api:1 → 2" in chart.words


def test_memory_is_shown_against_the_limit_and_one_without_limit_is_left_out(tmp_path):
    start, end = (datetime(2026, 11, 3, 14, minute, tzinfo=UTC) for minute in (0, 30))
    labels = {"instance": "worker-1", "namespace": "shop", "container": "api"}
    used = [series("incident", start, [50, 97, 10], **labels, pod=pod) for pod in ("api-1", "api-2")]
    limits = [
        series("incident", start, [limit] * 3, **labels, pod=pod) for pod, limit in (("api-1", 100), ("api-2", 0))
    ]
    answers = {"prom_container_memory": {"records": used}, "prom_container_memory_limit": {"records": limits}}
    chart = drawn("container_memory", case_of(tmp_path, answers, asked_at=end.isoformat()))
    assert "highest 97 % at 2026-11-03 14:00:15 UTC in the incident" in chart.words
    assert "api-2" not in chart.words
    assert "killed at 100 %" in texts(chart)


def test_a_node_of_which_nothing_is_known_is_not_drawn_as_ready(tmp_path):
    ready = {"ready": True, "ready_at": "2026-11-03T09:00:00Z"}
    silent = {"ready": None, "ready_at": "2026-11-03T14:12:00Z", "ready_reason": "NodeStatusUnknown"}
    nodes = [row("k8s_nodes", name="n1", **ready), row("k8s_nodes", name="n2", **silent)]
    chart = drawn("node_conditions", case_of(tmp_path, {"k8s_nodes": {"records": nodes}}))
    assert "n2: no longer reports (NodeStatusUnknown) since 2026-11-03 14:12:00 UTC" in chart.words
    assert "1 of 2 nodes are ready" in chart.words
