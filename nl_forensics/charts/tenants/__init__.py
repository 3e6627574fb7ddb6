"""Tenants. One module per theme."""
