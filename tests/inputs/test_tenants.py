"""Tenants are found by the names that the platform file gives them, and by nothing else."""

import pytest
from pydantic import ValidationError

from nl_forensics.inputs.tenants import Tenants, TenantTable


def test_a_tenant_and_its_namespace_name_each_other():
    tenants = Tenants(namespace="tenant-{tenant}-prod")
    assert tenants.namespace_of("acme") == "tenant-acme-prod"
    assert tenants.tenant_of("tenant-acme-prod") == "acme"


@pytest.mark.parametrize("namespace", ["tenant-prod", "tenant-acme", "shop", "", "a-tenant-acme-prod"])
def test_another_namespace_is_no_tenants(namespace):
    assert Tenants(namespace="tenant-{tenant}-prod").tenant_of(namespace) == ""


def test_without_namespaces_of_their_own_no_namespace_is_a_tenants():
    assert Tenants().tenant_of("tenant-acme") == ""


@pytest.mark.parametrize("pattern", ["tenant", "{tenant}-{tenant}", "Tenant-{tenant}", "tenant/{tenant}"])
def test_a_pattern_that_names_no_tenant_is_refused(pattern):
    with pytest.raises(ValidationError, match="once"):
        Tenants(namespace=pattern)


@pytest.mark.parametrize("name", ["tenants; DROP TABLE x", 'te"nants', "a.b.c", "", "1tenants"])
def test_a_table_name_is_a_name(name):
    with pytest.raises(ValidationError):
        TenantTable(name=name)
