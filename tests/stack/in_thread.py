"""Servers of the tests' own that answer from a thread of this process."""

import threading
from contextlib import contextmanager

POLL_S = 0.05


@contextmanager
def answering(server):
    """Answer until the end of `with`, however that ends: a thread whose socket is closed would spin for as long as the tests run."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=[POLL_S], daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
