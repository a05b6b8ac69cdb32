"""`python -m gateway --home DIR`: run a gateway, in the foreground or in the background."""

from __future__ import annotations

import argparse
import json
import sys

from gateway import control
from gateway.errors import GatewayError
from gateway.paths import home
from gateway.supervisor import Estate, Supervisor


def main() -> int:
    """Exit code: 0, or 1 with a sentence on the standard error."""
    parser = argparse.ArgumentParser(prog="gateway", description=__doc__)
    parser.add_argument("--home", required=True, help="folder of this gateway: its state, sockets, logs, models")
    parser.add_argument("--host", default="127.0.0.1", help="address of endpoints that name none")
    parser.add_argument("--estate", type=lambda text: Estate(**json.loads(text)), help=argparse.SUPPRESS)
    parser.add_argument(
        "--background", action="store_true", help="start it, unless it runs, and return once it answers"
    )
    given = parser.parse_args()
    try:
        if given.background:
            control.start(given.home, given.host)
            return 0
        supervisor = Supervisor(home(given.home), given.host, given.estate)
    except GatewayError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{given.home} cannot be used as a gateway's home: {error}.\n")
        return 1
    sys.stdout.write(f"The gateway in {supervisor.home.path} runs; its log is {supervisor.home.log}.\n")
    sys.stdout.flush()
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
