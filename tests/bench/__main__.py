"""Every line is a goal and a figure; nothing here is a test.

Figures are medians of whole processes, in seconds of wall time, and the memory of all our processes together, in MiB.
"""

from tests.bench.billing import many_tenants
from tests.bench.cluster import collections
from tests.bench.databases import live_run
from tests.bench.redaction import redaction
from tests.bench.report import report_and_findings
from tests.bench.tenants import tenants_judged

redaction()
report_and_findings()
live_run()
many_tenants()
tenants_judged()
collections()
