"""`python -m tests.stack`: start everything, put load on it, print where it is, and wait for Ctrl-C."""

import shlex
import signal
import sys

from tests.stack.load import load
from tests.stack.process import MissingServer
from tests.stack.stack import stack

A_DAY_S = 24 * 3600


def main():
    # `kill` ends it in good order, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with stack() as servers, load(servers.pgbouncer, servers.redis, lasting_s=A_DAY_S):
            for name, value in servers.environment().items():
                print(f"export {name}={shlex.quote(value)}", flush=True)
            print("Under load until Ctrl-C.", file=sys.stderr, flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
    except MissingServer as missing:
        sys.exit(str(missing))


if __name__ == "__main__":
    main()
