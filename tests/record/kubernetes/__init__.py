"""Faults of a cluster, and of what runs in it. Each is made on a fresh cluster, in the namespace of the platform.

`later`: what is there after seconds is recorded as what would still be there then.
"""

from tests.record.kubernetes import certificates, cluster, containers, pods, scraping, services, storage, workloads  # noqa: F401
