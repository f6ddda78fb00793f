"""How the node logs: structlog and the standard library's loggers, on stderr, in one format.

Levels are Temporal's (`warn`, `never`); text is for people, JSON for machines.
"""

import logging
import re
import sys
from typing import Any

import structlog

from infra.settings import LogSettings

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "never": logging.CRITICAL + 10,
}
_CHATTY = ("faust", "mode", "aiokafka", "kafka", "grpc", "asyncio")
"""Libraries that log what is ordinary here as a warning: they speak from `info` on as errors."""

_KAFKA_CLIENTS = ("librdkafka", "aiokafka")
_REPEAT_S = 10.0
_BEGINNING = re.compile(r"[^\d\[:]*")


class Repeats(logging.Filter):
    """Lets a library say the same once in ten seconds, with how often it wanted to.

    Kafka's clients repeat themselves fifty times a second while Kafka is away. What begins alike,
    up to the first digit, bracket or colon, counts as the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written; adds the count of those that were not."""
        library = record.name.partition(".")[0]
        if library not in _KAFKA_CLIENTS:
            return True
        text = record.getMessage()
        beginning = _BEGINNING.match(text)
        key = (library, beginning.group() if beginning else "")
        said_at, held_back = self._said.get(key, (float("-inf"), 0))
        if record.created - said_at < _REPEAT_S:
            self._said[key] = (said_at, held_back + 1)
            return False
        self._said[key] = (record.created, 0)
        if held_back:
            record.msg, record.args = f"{text} (and {held_back} more like it)", ()
        return True


def configure(settings: LogSettings) -> None:
    """Set up logging for the whole process; call once, first."""
    level = _LEVELS[settings.level]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Repeats())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(settings),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(
            max(level, logging.ERROR) if level > logging.DEBUG else level
        )


def hush_kafka_clients() -> None:
    """Stop their complaints: from now on the Kafka they talk to may go away as planned."""
    for name in _KAFKA_CLIENTS:
        logging.getLogger(name).setLevel(_LEVELS["never"])


def _renderer(settings: LogSettings) -> Any:
    if settings.format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
