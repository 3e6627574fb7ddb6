"""What should have fired: by rules of a real Prometheus, and by hand."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from nl_forensics import checks
from nl_forensics.inputs.incident import Incident
from nl_forensics.sources.prometheus.firing import Rule, episodes, firing
from nl_forensics.units import Wording
from tests.asking import ask, incident, link, offenders, platform
from tests.record.prometheus import past, since
from tests.stack import prometheus
from tests.stack.history import REDIS
from tests.stack.metrics import metrics
from tests.stack.prometheus import Target

A, B, C = 'level{zone="a"}', 'level{zone="b"}', 'level{zone="c"}'
PLAYED_S = 46
INTERVAL_S = 1
NO_DATA = "no target had a sample"
BEFORE_S, FROZEN_S = 8, 60
HIGH, GONE, DOWN = range(8, 25), range(10, 20), range(28, 36)  # seconds in which …


def alert(name, expr, for_s=0, keep_s=0, **labels):
    return {"alert": name, "expr": expr, "for": f"{for_s}s", "keep_firing_for": f"{keep_s}s", "labels": labels}


HEALTHY = [
    alert("AtOnce", f"{A} > 5"),
    alert("Short", f"{A} > 5", for_s=3),
    alert("Long", f"{A} > 5", for_s=10),
    alert("TooLong", f"{A} > 5", for_s=60),
    alert("Keeps", f"{A} > 5", for_s=2, keep_s=6),
    alert("KeepsAtOnce", f"{A} > 5", keep_s=4),
    alert("Flaps", f"{B} > 5"),
    alert("FlapsFor", f"{B} > 5", for_s=5),
    alert("FlapsKept", f"{B} > 5", keep_s=8),
    alert("Absent", f"absent({C})"),
    alert("AbsentFor", f"absent({C})", for_s=5),
    alert("AbsentJob", 'absent(up{job="nowhere"})', for_s=2),
    alert("Down", 'up{job="app"} == 0'),
    alert("DownFor", 'up{job="app"} == 0', for_s=3, severity="critical"),
    alert("Watchdog", "vector(1)"),
    alert("Never", "level > 1000"),
    alert("Summed", "sum by (zone) (level) > 5", for_s=1),
    alert("ComesAndGoes", 'shard{number=~".+"} > 0', for_s=2),
    alert("Recorded", "zone:level:max > 5", for_s=2),
    alert("Rate", "rate(requests_total[6s]) > 2"),
    alert("Templated", f"{A} > 5", team="{{ $labels.zone }}-team", place="here"),
    alert("Always", "count(level) > bool 100"),
    alert("OverTime", f"max_over_time({A}[5s]) > 5"),
    alert("Unless", f"{A} > 5 unless on () {C}"),
    alert("Renamed", f"{A} > 5", zone="everywhere"),
    alert("Twice", f"{A} > 5", severity="low"),
    alert("Twice", f"{A} > 9", for_s=4, severity="high"),
]
BROKEN = {
    "OverTheLimit": alert("OverTheLimit", "level >= 0"),
    "SameLabels": alert("SameLabels", "level >= 0", zone="everywhere"),
    "NeverTheSame": alert("NeverTheSame", "requests_total >= 0", for_s=3, value="{{ $value }}"),
}
RECORDING = [{"record": "zone:level:max", "expr": "max by (zone) (level)"}]
GROUPS = {
    "groups": [
        {"name": "healthy", "rules": RECORDING + HEALTHY},
        {"name": "limited", "limit": 1, "rules": [BROKEN["OverTheLimit"]]},
        {"name": "broken", "rules": [BROKEN["SameLabels"], BROKEN["NeverTheSame"]]},
    ]
}


def play(app, second):
    """What the program exposes in this second of the play."""
    app.values = {A: 10 if second in HIGH else 0, B: 10 * (second // 3 % 2), "requests_total": 5 * second}
    app.values |= {C: 1} if second in GONE else {}
    app.values |= {f'shard{{number="{second // 8 + n}"}}': 1 for n in range(2)}
    app.fails = second in DOWN


@pytest.fixture(scope="module")
def played():
    """A link to a Prometheus that saw the play, and the incident."""
    with metrics() as app:
        play(app, 0)
        with prometheus.start([Target("app", "app-0:8080", app.port)], rules=GROUPS) as server:
            server.wait_for('ALERTS{alertname="Watchdog",alertstate="firing"}')
            began = time.time()
            for second in range(PLAYED_S):
                time.sleep(max(0, began + second - time.time()))
                play(app, second)
            window = {"start": datetime.fromtimestamp(began, UTC).isoformat(), "end": datetime.now(UTC).isoformat()}
            yield link("prometheus", server.url), Incident(id="play", **window)


@pytest.fixture(scope="module")
def due(played):
    heard = ask(played[0], "prom_rule_series", played[1])
    assert heard.unseen == []
    return heard.table


def test_what_should_have_fired_is_what_did_fire(played, due):
    """Of 27 alerting rules, with `for`, holes, staleness, and label sets that come and go."""
    names = {rule["alert"] for rule in HEALTHY}
    ours = due[due.rule.isin(names)]
    history = ask(played[0], "prom_alert_history", played[1]).table
    theirs = history[(history.state == "firing") & history.alert.isin(names)]
    assert set(ours.rule) == set(theirs.alert) == names - {"TooLong", "Never", "FlapsFor"}
    assert len(HEALTHY) >= 20
    assert ours.fired.fillna(False).all(), ours[~ours.fired.fillna(False)].to_string()
    for name in sorted(names):
        mine, real = (
            _without_late_evaluations(rows) for rows in (ours[ours.rule == name], theirs[theirs.alert == name])
        )
        assert len(mine) == len(real), name
        assert abs(seconds(mine) - seconds(real)) <= 2 * INTERVAL_S * len(real), name


def _without_late_evaluations(rows):
    """A busy machine evaluates a rule late, which looks like a break in its alert."""
    rows = rows.sort_values(["labels", "at"])
    before = rows.shift()
    goes_on = (rows.labels == before.labels) & (rows["at"] - before.until <= timedelta(seconds=2.5 * INTERVAL_S))
    return rows.groupby((~goes_on).cumsum(), as_index=False).agg({"at": "min", "until": "max"})


def seconds(rows):
    return (rows.until - rows["at"]).dt.total_seconds().sum()


@pytest.mark.parametrize("name", BROKEN)
def test_a_rule_that_alerts_nobody_is_found(due, name):
    rows = offenders("every_alert_that_should_fire_fires", due[due.fired.notna()])
    assert name in set(rows.rule)
    assert set(rows.rule) == set(BROKEN)
    words = Wording(checks.load()["every_alert_that_should_fire_fires"].because)
    assert "unknown" not in "".join(words.of(row) for row in rows.to_dict("records"))


# --- By hand ----------------------------------------------------------------------------------------------------------

ALERT = frozenset({("zone", "a")})
STEPS = [1_000.0 + 15 * n for n in range(40)]


def rule(for_s=0.0, keep_s=0.0, loaded_s=0.0, **labels):
    return Rule(15, for_s, keep_s, loaded_s, labels)


def judged(one, true, fired, alive=None, start_s=STEPS[0]):
    """What is said of an alert whose expression gave a series at the steps `true`, and that was seen at the steps `fired`."""
    times = [STEPS[n] for n in fired]
    truth = {ALERT: {STEPS[n] for n in true}}
    return list(episodes(one, STEPS, set(STEPS) if alive is None else alive, truth, {ALERT: times}, start_s))


@pytest.mark.parametrize(
    ("for_s", "keep_s", "true", "expected"),
    [
        (0, 0, [3, 4], [3, 4]),
        (30, 0, range(3, 9), [5, 6, 7, 8]),  # the evaluation at which it was there for 30 s is the third
        (40, 0, range(3, 9), [6, 7, 8]),  # no whole number of evaluations
        (30, 0, [3, 4, 6, 7], []),  # one evaluation without it, and the count begins anew
        (0, 30, [3], [3, 4, 5]),
        (0, 30, [3, 5], [3, 4, 5, 6, 7]),  # it came again, so it is kept anew
        (30, 30, [3, 4], []),  # what never fired is not kept
    ],
)
def test_counting(for_s, keep_s, true, expected):
    found = firing(rule(for_s, keep_s), STEPS, {STEPS[n] for n in true})
    assert found == {STEPS[n] for n in expected}


def test_an_alert_that_fired():
    [due] = judged(rule(for_s=30), range(5, 20), range(7, 20))
    assert (due.fired, due.fired_s, due.missed) == (True, STEPS[7], None)


def test_an_alert_that_did_not_fire():
    [due] = judged(rule(for_s=30), range(5, 20), [])
    assert (due.fired, due.missed) == (False, (STEPS[7], STEPS[19]))


def test_an_alert_that_fired_late():
    [due] = judged(rule(), range(5, 30), range(20, 30))
    assert (due.fired, due.fired_s, due.missed) == (False, STEPS[20], (STEPS[5], STEPS[17]))


@pytest.mark.parametrize("late", [1, 2])
def test_an_evaluation_or_two_are_no_proof(late):
    [due] = judged(rule(), range(5, 20), range(5 + late, 20))
    assert due.fired is True
    [alone] = judged(rule(), range(5, 5 + late), [])
    assert alone.fired is None


def test_what_was_before_the_rules_were_loaded_proves_nothing_missed():
    """The rule may have been another one then, or none."""
    [due] = judged(rule(loaded_s=STEPS[30]), range(5, 20), [])
    assert due.fired is None
    [fired] = judged(rule(loaded_s=STEPS[30]), range(5, 20), range(5, 20))
    assert fired.fired is True


def test_what_the_first_evaluation_after_a_start_finds_is_not_told():
    """Prometheus writes ALERTS only once it has looked for what was pending before it started: after the first evaluation."""
    [due] = judged(rule(loaded_s=STEPS[10] - 1), range(10, 13), [])
    assert due.fired is None
    [missed] = judged(rule(loaded_s=STEPS[10] - 1), range(10, 14), [])
    assert missed.missed == (STEPS[11], STEPS[13])


def test_after_a_start_the_count_begins_anew():
    """For `for` below 10 minutes Prometheus does not remember; for a longer one it may. Firing only after `for` is no fault."""
    [due] = judged(rule(for_s=75, loaded_s=STEPS[20]), range(5, 30), [*range(10, 18), *range(25, 30)])
    assert due.fired is None
    [never] = judged(rule(for_s=75, loaded_s=STEPS[20]), range(5, 35), range(10, 18))
    assert (never.fired, never.missed) == (False, (STEPS[25], STEPS[34]))


def test_without_data_nothing_was_due():
    """`absent(…)` is true where Prometheus itself was not there."""
    alive = {at for at in STEPS if not STEPS[10] <= at < STEPS[20]}
    found = judged(rule(), range(40), [*range(10), *range(20, 40)], alive)
    assert [due.fired for due in found] == [True, True]


def test_what_was_pending_before_the_window_is_counted():
    [due] = judged(rule(for_s=60), range(2, 20), range(6, 20), start_s=STEPS[8])
    assert (due.first_s, due.fired) == (STEPS[8], True)


def test_labels_that_a_template_makes_are_not_compared():
    one = rule(team="{{ $labels.zone }}", severity="critical")
    assert one.alert_of({"__name__": "level", "zone": "a", "empty": ""}) == {("zone", "a"), ("severity", "critical")}
    seen = {"alertname": "X", "alertstate": "firing", "team": "a", "zone": "a", "severity": "critical"}
    assert one.comparable(seen) == one.alert_of({"zone": "a"})


# --- A real past ------------------------------------------------------------------------------------------------------


def test_a_restart_is_no_missed_alert():
    """Prometheus forgets what was pending for less than 10 minutes, and begins to count anew."""
    rules = {"groups": [{"name": "all", "rules": [alert("Scraped", "up == 1", for_s=4), BROKEN["SameLabels"]]}]}
    with metrics() as app:
        play(app, 0)
        with prometheus.start([Target("app", "app-0:8080", app.port)], rules=rules) as server:
            server.wait_for('ALERTS{alertname="Scraped",alertstate="firing",job="app"}')
            time.sleep(4)
            server.restart()
            server.wait_for('timestamp(up{job="app"}) > time() - 2')
            server.wait_for('ALERTS{alertname="Scraped",alertstate="pending",job="app"}')
            server.wait_for('ALERTS{alertname="Scraped",alertstate="firing",job="app"}')
            time.sleep(5)
            table = ask(link("prometheus", server.url), "prom_rule_series", incident(minutes=1)).table
    scraped = table[(table.rule == "Scraped") & table.labels.str.contains("job=app")]
    assert len(scraped)
    assert scraped.fired.fillna(True).all(), scraped.to_string()
    broken = table[table.rule == "SameLabels"]
    assert not broken.fired.fillna(True).all(), "what did not fire after the restart is proven all the same"


def test_while_prometheus_stands_still_no_alert_is_missed():
    """Its rules are not evaluated then, and their expressions go on giving the last values."""
    rules = {"groups": [{"name": "all", "rules": [alert("Watchdog", "vector(1)"), alert("Scraped", "up == 1")]}]}
    with prometheus.start(rules=rules, interval_s=5) as server:
        server.wait_for('ALERTS{alertname="Scraped",alertstate="firing"}')
        time.sleep(BEFORE_S)
        server.freeze()
        time.sleep(FROZEN_S)
        server.thaw()
        server.wait_for("timestamp(up) > time() - 2")
        time.sleep(BEFORE_S)
        heard = ask(link("prometheus", server.url), "prom_rule_series", incident(minutes=2))
    assert set(heard.table.rule) == {"Watchdog", "Scraped"}
    assert heard.table.fired.fillna(True).all(), heard.table.to_string()
    assert NO_DATA in heard.unseen[0]


def test_before_its_start_a_rule_may_have_been_another():
    """A past that was written before Prometheus started: what fired there fired, what did not may have had no rule."""
    rule = alert("RedisDown", "redis_up == 0", for_s=60)
    rules = {"groups": [{"name": "all", "interval": "15s", "rules": [rule | {"labels": {"severity": "critical"}}]}]}

    def down(ago_s):
        return 0 if 600 < ago_s < 1200 else 1

    told = 'ALERTS{alertname="RedisDown",alertstate="firing",severity="critical"}'
    with prometheus.start(rules=rules) as server:
        with past(server, REDIS, ("redis_up", down), ("up", since(45, 1)), minutes=45):
            silent = ask(link("prometheus", server.url), "prom_rule_series").table
        with past(server, REDIS, (told, lambda ago_s: 1 if 600 < ago_s < 1130 else None), minutes=45):
            fired = ask(link("prometheus", server.url), "prom_rule_series").table
    assert silent.fired.isna().all()
    assert len(silent) == 1
    assert fired.fired.tolist() == [True]


# --- What can't be asked ----------------------------------------------------------------------------------------------


def unseen(rules, minutes=1, interval_s=1, **budget):
    with prometheus.start(rules={"groups": [{"name": "all", "rules": rules}]}, interval_s=interval_s) as server:
        server.wait_for("ALERTS or vector(1)")
        own = platform(budget=budget)
        told = ask(link("prometheus", server.url), "prom_rule_series", incident(minutes), own).unseen
        assert any(NO_DATA in one for one in told), "it has just begun"
        return [one for one in told if NO_DATA not in one]


def test_more_rules_than_the_budget():
    assert unseen(HEALTHY, prometheus_rules=20) == [f"{len(HEALTHY) - 20} alerting rules of {len(HEALTHY)}"]


def test_more_evaluations_than_the_budget():
    """A coarser step would miss what comes and goes between two of them."""
    [told] = unseen([alert("Watchdog", "vector(1)")], minutes=2, prometheus_points=100)
    assert told.startswith("rule Watchdog of all: 12")


def test_an_expression_that_fails():
    """Two series on a side on which there may be one."""
    expr = 'label_replace(vector(1), "a", "1", "", "") or vector(2)'
    [told] = unseen([alert("Many", f"({expr}) * on () ({expr})")])
    assert "many-to-many" in told or "duplicate series" in told


def test_without_rules_nothing_is_due():
    with prometheus.start() as server:
        heard = ask(link("prometheus", server.url), "prom_rule_series")
    assert (len(heard.table), heard.unseen) == (0, [])
    assert heard.proof
