"""Log lines as the services write them: one JSON object a line, on standard output."""

import json
import os
import sys
from datetime import UTC, datetime

SERVICE = os.environ.get("NL_SERVICE", "unknown")


def log(level, message, **fields):
    """Write a line; `fields` are what a reader would search for: tenant, request_id, duration_ms, …"""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"time": at, "level": level, "service": SERVICE, "message": message, **fields}
    # In one piece: print would write the end of the line by itself, and threads would get between.
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()
