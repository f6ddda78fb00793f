"""Where librdkafka's own log lines go: the standard logger `librdkafka`, not stderr."""

import logging
from typing import Final

RDKAFKA_LOG: Final = logging.getLogger("librdkafka")
