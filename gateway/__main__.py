"""`python -m gateway` is `edgeward`."""

import sys

from gateway.cli import main

sys.exit(main())
