"""A case: rounds of recorded answers, their chain of custody, and the only way to a table of them."""
