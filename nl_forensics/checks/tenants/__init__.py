"""Every rule about tenants: that each gets what it should, no more than its share, and nothing of another. One module per subject."""

from nl_forensics.checks.tenants import isolation, leftovers, provisioning, quotas, shares, suspended  # noqa: F401
