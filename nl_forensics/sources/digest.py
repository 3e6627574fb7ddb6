"""Digests of what is not recorded: they show that a value changed, and nothing else."""

import json
from functools import cache

from nl_forensics.inputs.parameters import home
from nl_forensics.redact import keyed_digest, organisation_key

_key = cache(organisation_key)


def digest(value) -> str:
    """Equal for equal JSON values under the key of this home; without the key no value can be tried."""
    return keyed_digest(_key(home()), json.dumps(value, sort_keys=True, ensure_ascii=False))
