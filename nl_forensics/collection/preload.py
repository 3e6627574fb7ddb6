"""Imports of every worker, loaded once in the process that workers are forked from."""

from nl_forensics import sources
from nl_forensics.collection import worker  # noqa: F401

sources.load()
