"""Records specimens and stories from the real servers of `tests.stack`: `make record`."""
