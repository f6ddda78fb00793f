"""How the node logs: structlog and the standard library's loggers, on stderr, in one format.

Levels are Temporal's (`warn`, `never`); text is for people, JSON for machines.
"""

import logging
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
