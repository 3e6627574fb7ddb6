"""One tenant on one page: every part, what is unknown of it, 80 columns, and nothing that a terminal would obey."""

import json
import shutil

import pytest

from nl_forensics import cli
from nl_forensics.delivery.tenant import PARTS, WIDTH
from nl_forensics.evidence.case import Case
from tests import recorded


@pytest.fixture
def page(tmp_path, capsys):
    """What the command prints for a tenant of a story, and its exit code."""

    def run(story, tenant, *options):
        folder = tmp_path / story
        if not folder.exists():
            shutil.copytree(recorded.story(story), folder)
        code = cli.run(["tenant", tenant, str(folder), *options])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_every_part_is_there_within_80_columns(page):
    code, told, _ = page("isolation_broken", "acme")
    lines = told.splitlines()
    assert code == 1
    assert max(map(len, lines)) <= WIDTH
    labels = [line.split()[0] for line in lines[1:] if not line.startswith(" ")]
    assert labels == [part.__name__ for part in PARTS]
    assert lines[0].startswith("tenant acme, ")
    assert "all 9 steps are done" in told
    assert "ServiceAccount tenant of tenant-globex: Role tenant" in told


def test_where_it_stopped_and_since_when(page):
    _, told, _ = page("tenant_stuck_quota", "hooli")
    assert "step 2 of 9, quota, is not done: resourcequotas" in told
    assert "no quota" in told
    assert "first symptom at 20" in told


def test_json_has_the_same_parts(page):
    code, told, _ = page("tenant_stuck_quota", "hooli", "--json")
    found = json.loads(told)
    assert code == 1
    assert list(found["parts"]) == [part.__name__ for part in PARTS]
    assert found["verdict"].startswith("Of tenant hooli")
    assert {one["check"] for one in found["findings"]} >= {"every_tenant_is_provisioned"}


def test_what_was_not_seen_is_unknown(page):
    _, told, _ = page("isolation_broken", "acme", "--json")
    parts = json.loads(told)["parts"]
    assert "not read" in parts["errors"]["unknown"]
    assert parts["quota"]["unknown"] is None


def test_a_tenant_that_exists_nowhere_is_an_error_that_names_the_known_ones(page):
    code, _, told = page("isolation_broken", "acmee")
    assert code == 2
    assert "did you mean acme?" in told
    assert "globex" in told


def test_a_case_without_tenants_says_so(tmp_path, page):
    code, _, told = page("lock_chain", "acme")
    assert code == 2
    assert "has recorded no tenants" in told


def test_what_a_pod_is_called_or_logs_does_not_reach_the_terminal_as_a_command(tmp_path, capsys):
    folder = shutil.copytree(recorded.story("isolation_broken"), tmp_path / "case")
    case = Case(folder)
    hostile = "\x1b[2J\u202eevil\r\n=cmd()<script>" + "x" * 1_000_000
    rows = case.read("k8s_quotas").rows.assign(resource=hostile)
    case.tables["k8s_quotas"] = type(case.read("k8s_quotas"))(case.read("k8s_quotas").source, rows, (), False)
    from nl_forensics.delivery import tenant

    lines = list(tenant.as_lines(own := tenant.Page(case, "acme", []), [tenant.quota(own)]))
    assert max(map(len, lines)) <= WIDTH
    assert not any("\x1b" in line or "\u202e" in line or "\r" in line for line in lines)
    assert len(lines) <= 20


def test_its_usage_and_its_invoices_are_there_and_those_of_others_are_not(page):
    code, told, _ = page("healthy", "acme", "--json")
    parts = json.loads(told)["parts"]
    assert code == 0
    assert [line for line in parts["usage"]["known"] if line.startswith("logs_ingested: ")]
    invoices = [line for line in parts["money"]["known"] if line.startswith("invoice ")]
    assert len(invoices) == 1
    assert invoices[0].startswith("invoice 201 of the period to ")
