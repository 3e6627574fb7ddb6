"""Queries the sources in parallel, and records their answers within a deadline."""
