"""The entry point. Apart from the command line itself, so that Ctrl-C while that is still loading is as quiet as later."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from nl_forensics import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
