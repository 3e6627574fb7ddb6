"""Limits that rules of several systems share."""

DAY_S = 86_400
MAX_TEMP_BYTES_PER_S = 50e9 / DAY_S  # temporary files of PostgreSQL: 50 GB a day (pg_gather)
