"""Asks the sources and records their answers, side by side, within a deadline."""
