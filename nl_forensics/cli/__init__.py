"""nl-forensics: collect a case, judge it, report it.

Exit codes: 0 all is well · 1 a problem was found · 2 usage or parameters · 3 nothing wrong seen, but something is unknown, or nothing was
judged, because the platform has none of the systems · 4 a bug of ours · 5 the case fails verification · 130 interrupted. `collect` gives
0 or 3.
"""

import os
import sys
import traceback

import click

from nl_forensics.cli import asking, casework, judging, reference  # noqa: F401 (each registers its commands)
from nl_forensics.cli.command import cli
from nl_forensics.errors import CaseError, ForensicsError, ParameterError
from nl_forensics.sanitize import printable


def main() -> None:
    """The entry point: one clear line for whatever goes wrong, and the documented exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        return cli.main(arguments, prog_name="nl-forensics", standalone_mode=False) or 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted: the same command goes on where it stopped", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except ParameterError as error:
        return _said(error, 2)
    except CaseError as error:
        return _said(error, 5)
    except ForensicsError as error:
        return _said(error, 4)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # who read us has left: `findings demo | head`
        return 2
    except OSError as error:
        return _said(error, 2)
    except Exception as error:  # noqa: BLE001 (the edge of the process: a bug must not look like "a problem was found")
        return _said(error, 4)


def _said(error: Exception, code: int) -> int:
    if code == 4:
        traceback.print_exc()
        click.echo("nl-forensics: this is a bug of nl_forensics: report it, with what stands above", err=True)
    else:
        click.echo(f"nl-forensics: {printable(str(error))}", err=True)
    return code
