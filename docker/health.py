"""The container's health check: 0 where the gateway says that it is healthy, 1 where it says no, or nothing."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

SECONDS = 3.0


def main() -> int:
    """Prints the gateway's own words, which `docker inspect` shows."""
    connection = HTTPConnection("127.0.0.1", int(os.environ.get("EDGEWARD_HTTP_PORT", "9273")), timeout=SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        sys.stdout.write(answer.read(4096).decode(errors="replace") + "\n")
    except (OSError, HTTPException) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
