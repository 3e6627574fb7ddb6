"""A result is kept as long as nothing that it rests on has changed, and no longer."""

import pytest

from tests import unchanged


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Ask for one result, computed under a key; it tells the result, and what was computed so far."""
    monkeypatch.setattr(unchanged, "KEPT", tmp_path)
    computed = []

    def ask(key, what="blocked"):
        found = unchanged.results("stories", "lock_chain", [(what, key, lambda: computed.append(key) or key.upper())])
        return found, list(computed)

    return ask


def test_it_is_computed_once(asked):
    assert asked("a") == ({"blocked": "A"}, ["a"])
    assert asked("a") == ({"blocked": "A"}, ["a"])


def test_it_is_computed_again_under_another_key(asked):
    asked("a")
    assert asked("b") == ({"blocked": "B"}, ["a", "b"])
    assert asked("a") == ({"blocked": "A"}, ["a", "b", "a"])


def test_what_is_no_longer_asked_for_is_not_kept(asked):
    asked("a")
    asked("a", what="idle")
    assert asked("a") == ({"blocked": "A"}, ["a", "a", "a"])


def test_a_check_rests_on_what_it_and_the_judge_import_and_on_no_other_check():
    used = unchanged.used("nl_forensics.checks.postgres.locks")
    assert {
        "nl_forensics.checks.postgres",
        "nl_forensics.checks.rows",
        "nl_forensics.checks.judge",
        "nl_forensics.evidence.table",
        "nl_forensics.sources.postgres.locks",
        "nl_forensics.redact.shapes",
    } <= used
    assert "nl_forensics.checks.postgres.vacuum" not in used


@pytest.mark.parametrize("changed", ["nl_forensics.checks.postgres.locks", "nl_forensics.units"])
def test_another_text_or_another_recording_is_another_key(changed, monkeypatch):
    before, text = unchanged.key("nl_forensics.checks.postgres.locks", "rows"), unchanged.text
    assert unchanged.key("nl_forensics.checks.postgres.locks", "other rows") != before
    monkeypatch.setattr(unchanged, "text", lambda name: b"edited" if name == changed else text(name))
    unchanged.code.cache_clear()
    assert unchanged.key("nl_forensics.checks.postgres.locks", "rows") != before
    unchanged.code.cache_clear()
