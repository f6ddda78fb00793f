"""`python -m infra.cli` is `millrace`."""

import sys

from infra.cli import main

sys.exit(main())
