"""With a tenant in the parameters, a case shows that tenant and the platform itself, and no other tenant."""

import json
import shutil

import pytest

from nl_forensics.charts import CHARTS
from nl_forensics.checks import run_checks
from nl_forensics.delivery.notebook import open_or_collect
from nl_forensics.errors import ParameterError
from nl_forensics.evidence.case import Case
from tests import recorded

OTHERS = ("globex", "initech")


def opened(folder, tenant, limits=None):
    case = Case(folder)
    incident = case.incident.model_dump(mode="json") | {"tenant": tenant}
    return open_or_collect({"incident": incident, "case": str(folder), "limits": limits or {}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shutil.copytree(recorded.story("noisy_tenant"), tmp_path_factory.mktemp("scope") / "case")


def test_no_table_holds_a_row_of_another_tenant(folder):
    case = opened(folder, "acme")
    seen = set()
    for name in case.answers:
        table = case.read(name)
        if table.source.of_all_tenants:
            continue
        for column in ("tenant", "namespace", "client_namespace", "server_namespace"):
            if column in table.rows:
                values = {str(value) for value in table.rows[column].dropna()}
                assert not values & {*OTHERS, *(f"tenant-{other}" for other in OTHERS)}, (name, column)
                seen |= values
    assert {"acme", "tenant-acme", "neurallog-system"} <= seen


def test_findings_are_about_the_tenant_and_the_platform(folder):
    whole, own, other = (run_checks(opened(folder, tenant)) for tenant in ("", "globex", "acme"))
    noisy = "no_tenant_uses_more_than_its_share"
    assert noisy in {one.check for one in whole.problems}
    assert noisy in {one.check for one in own.problems}
    assert noisy not in {one.check for one in other.problems}
    assert not whole.verdict().startswith("Of tenant")
    assert other.verdict().startswith("Of tenant acme and the platform itself: ")
    assert not any(name in json.dumps([one.as_json() for one in other.problems]) for name in OTHERS)


@pytest.mark.parametrize("name", [name for name in CHARTS if "tenant" in name])
def test_charts_name_no_other_tenant(folder, name):
    words = CHARTS[name](opened(folder, "acme")).words
    assert not any(other in words for other in OTHERS)


def test_one_case_is_read_for_one_tenant_after_the_other(folder):
    case = Case(folder)
    everything = len(case.read("k8s_pods").rows)
    for tenant, fewer in (("acme", 2), ("", 0)):
        incident = case.incident.model_copy(update={"tenant": tenant})
        case.use_parameters(case.parameters.model_copy(update={"incident": incident}))
        assert everything - len(case.read("k8s_pods").rows) == fewer


def test_keys_of_a_tenant_are_found_by_its_number(folder):
    assert opened(folder, "globex").scope.own == {"globex", "2"}


def test_a_platform_that_names_no_tenants_can_not_be_narrowed(tmp_path):
    old = shutil.copytree(recorded.story("lock_chain"), tmp_path / "case")
    if Case(old).parameters.platform.tenants:
        pytest.fail("choose a recorded case of a platform without tenants")
    with pytest.raises(ParameterError, match="how tenants are named"):
        opened(old, "acme")


@pytest.mark.parametrize("tenant", ["acme", "globex"])
def test_no_check_fails_on_what_is_left(folder, tenant):
    assert [one.because for one in run_checks(opened(folder, tenant)) if one.bug] == []
