"""The billing part of a platform file: names of tables and columns are names, and nothing else."""

import pytest
from pydantic import ValidationError

from nl_forensics.inputs.billing import Price, Usage
from nl_forensics.inputs.parameters import read_yaml, shipped
from nl_forensics.inputs.platform import Platform

USAGE = {"table": "usage", "tenant": "t", "metric": "m", "value": "v", "at": "a"}


@pytest.mark.parametrize("field", ["table", "tenant", "metric", "value", "at", "key"])
@pytest.mark.parametrize("name", ['a"b', "a; DROP TABLE x", "a b", "(SELECT 1)", "1a"])
def test_what_is_no_name_is_refused(field, name):
    with pytest.raises(ValidationError):
        Usage(**USAGE | {field: name})


def test_a_table_without_a_schema_is_in_public():
    assert Usage(**USAGE).place == ("public", "usage")
    assert Usage(**USAGE | {"table": "bill.usage"}).place == ("bill", "usage")


@pytest.mark.parametrize(
    ("pattern", "key", "tenant"),
    [
        ("usage:{tenant_id}:*", "usage:7:2026113008", "7"),
        ("usage:{tenant_id}", "usage:7", "7"),
        ("usage:{tenant_id}", "usage:7:8", ""),
        ("{tenant_id}:usage", "acme:usage", "acme"),
        ("usage:{tenant_id}:*", "usages:7:1", ""),
        ("u.age:{tenant_id}", "usage:7", ""),
    ],
)
def test_the_tenant_of_a_key(pattern, key, tenant):
    assert Usage(**USAGE | {"redis_key": pattern}).tenant_of(key) == tenant


@pytest.mark.parametrize("pattern", ["usage:*", "{tenant_id}:{tenant_id}"])
def test_a_pattern_names_the_tenant_once(pattern):
    with pytest.raises(ValidationError, match="once"):
        Usage(**USAGE | {"redis_key": pattern})


@pytest.mark.parametrize(
    "pattern", ["usage:{tenant_id} +@all", "usage:{tenant_id})", "usage:{tenant_id}\n", "usage:{tenant_id}?"]
)
def test_a_pattern_is_nothing_else_in_a_line_of_rules(pattern):
    with pytest.raises(ValidationError, match="pattern"):
        Usage(**USAGE | {"redis_key": pattern})


@pytest.mark.parametrize("price", [{"amount": 0.5}, {"amount": -1}, {"amount": 1, "per": 0}])
def test_a_price_is_a_whole_number_of_minor_units(price):
    with pytest.raises(ValidationError):
        Price(**price)


def test_without_a_table_of_tenants_there_is_no_billing():
    values = read_yaml(shipped("platforms/neurallog.yaml"))
    with pytest.raises(ValidationError, match="billing needs"):
        Platform.model_validate(values | {"tenants": None})
