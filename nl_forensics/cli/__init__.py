"""nl-forensics: collect a case, evaluate its checks, report the findings.

Exit codes: 0 passed · 1 a problem was found · 2 invalid usage or parameters · 3 no problem found, but checks are undetermined, or no check
applies to this platform · 4 an internal error · 5 the case fails verification · 130 interrupted. `collect` exits with 0, or with 3 when
there are data gaps.
"""

import os
import sys
import traceback

import click

from nl_forensics.cli import asking, casework, judging, reference  # noqa: F401 (each registers its commands)
from nl_forensics.cli.command import cli
from nl_forensics.delivery.terminal import say
from nl_forensics.errors import CaseError, ForensicsError, ParameterError


def main() -> None:
    """The entry point: each error is one line with the documented exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        return cli.main(arguments, prog_name="nl-forensics", standalone_mode=False) or 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        say("interrupted; run the same command to resume", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except ParameterError as error:
        return _report_error(error, 2)
    except CaseError as error:
        return _report_error(error, 5)
    except ForensicsError as error:
        return _report_error(error, 4)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader closed the pipe: `findings demo | head`
        return 2
    except OSError as error:
        return _report_error(error, 2)
    except Exception as error:  # noqa: BLE001 (the edge of the process: a bug must not exit with the code of a problem)
        return _report_error(error, 4)


def _report_error(error: Exception, code: int) -> int:
    if code == 4:
        say(*traceback.format_exc().splitlines(), err=True)
        say("nl-forensics: internal error: please report it with the traceback above", err=True)
    else:
        say(f"nl-forensics: {error!s}", err=True)
    return code
