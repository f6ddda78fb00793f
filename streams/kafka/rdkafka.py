"""What every librdkafka client here is told."""

import logging
from collections.abc import Mapping
from typing import Any, Final

COMMON: Final[Mapping[str, Any]] = {
    "logger": logging.getLogger("librdkafka"),  # its own lines, not on stderr
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,  # by default it looks for a broker every 10 s at last
}
