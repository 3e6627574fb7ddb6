"""Charts obey the law per instance, as checks do: an instance that is empty without proof is named, though others have rows."""

import gzip
import shutil
from dataclasses import replace

import pytest

from nl_forensics.charts import CHARTS
from nl_forensics.evidence import custody
from nl_forensics.evidence.case import Case
from tests.recorded import story

EMPTY = "is empty, and nothing proves that it was measured"


@pytest.fixture(scope="module")
def with_a_second_instance(tmp_path_factory) -> Case:
    """The demo, in which a second instance of every system gave an empty answer to every question."""
    case = Case(shutil.copytree(story("demo"), tmp_path_factory.mktemp("demo") / "case"))
    nothing = case.folder / "nothing.ndjson.gz"
    nothing.write_bytes(gzip.compress(b""))
    facts = {
        "file": nothing.name,
        "sha256": custody.sha256(nothing),
        "rows": 0,
        "proof": "",
        "partial": (),
        "error": "",
    }
    for name, answers in case.answers.items():
        one = next(iter(answers.values()))
        case.answers[name] = answers | {"second": replace(one, instance="second", **facts)}
    return case


@pytest.mark.parametrize("name", CHARTS)
def test_an_instance_that_is_empty_without_proof_is_named(with_a_second_instance, name):
    words = CHARTS[name](with_a_second_instance).words
    assert "Data gaps: " in words
    unnamed = [table for table in CHARTS[name].needed[:1] if f"{table} of second: {EMPTY}" not in words]
    cut = "; and " in words.partition("Data gaps: ")[2]
    assert not unnamed or cut, words
