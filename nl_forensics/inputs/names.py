"""What a name in a parameter or platform file may be, so that it gets as a name, and as nothing else, into paths and queries."""

from typing import Annotated

from pydantic import StringConstraints

# `*` matches any characters.
NamespacePattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9*]([a-z0-9*-]{0,61}[a-z0-9*])?$")]
NamespacedName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9*][a-z0-9*-]{0,62}/[a-z0-9*][a-z0-9.*-]{0,252}$")]
Domain = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]

# PromQL: the name of a metric or label, several names as a regular expression, label matchers without their braces.
Metric = Annotated[str, StringConstraints(pattern=r"^([a-zA-Z_:][a-zA-Z0-9_:]*)?$")]
MetricPattern = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_:|.*+?()\[\]^$-]*$")]
MATCHER = r"""[a-zA-Z_][a-zA-Z0-9_]*\s*(=~|!~|!=|=)\s*("([^"\\\n]|\\.)*"|'([^'\\\n]|\\.)*'|`[^`]*`)"""
Matchers = Annotated[str, StringConstraints(pattern=rf"^\s*({MATCHER}\s*(,\s*|$))*$")]
