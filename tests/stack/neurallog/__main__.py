"""`python -m tests.stack.neurallog`: the whole platform with customers, until Ctrl-C; prints what nl-forensics needs."""

import shlex
import signal
import sys

from tests.stack.kubernetes.cluster import cluster
from tests.stack.neurallog.neurallog import neurallog
from tests.stack.process import MissingServer
from tests.stack.stack import stack

A_DAY_S = 24 * 3600


def main():
    # `kill` ends it in good order, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            stack() as servers,
            cluster(nodes=2, real_node=True, metrics=True) as c,
            neurallog(servers, c) as platform,
        ):
            environment = platform.environment()
            with platform.traffic(lasting_s=A_DAY_S):
                for name, value in environment.items():
                    print(f"export {name}={shlex.quote(value)}", flush=True)
                print(f"The administrator's kubeconfig: {c.kubeconfig()}", file=sys.stderr)
                print("Under load until Ctrl-C.", file=sys.stderr, flush=True)
                signal.pause()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
    except MissingServer as missing:
        sys.exit(str(missing))


if __name__ == "__main__":
    main()
