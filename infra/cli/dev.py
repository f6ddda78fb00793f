"""`millrace dev`: everything in one process, with the options of Temporal's `server start-dev`.

An option that has no meaning here yet is accepted, and named in one warning. This file turns
options into settings and says what happened; `infra/process.py` runs the node.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from infra.settings import Settings
from infra.sources import Loaded, load, shown

SUMMARY: Final = "Run a whole server on this machine: embedded broker and all roles."

EPILOG: Final = """\
Settings come from defaults, a TOML file (--config), the environment (MILLRACE_...) and options; the
later one wins. --print-settings shows all of them, and where each value came from.

examples:
  millrace dev                                   forgets everything when it stops
  millrace dev --db-filename ./data              remembers, also after kill -9
  millrace dev --kafka 127.0.0.1:9092            on a Kafka of yours instead of the embedded broker
  millrace dev --set frontend.task_poll_s=20     any setting by its path

try next, in Python with `pip install temporalio`:
  client = await Client.connect("127.0.0.1:7233")
"""

_WITHOUT_MEANING: Final = {
    "--http-port": "PORT",
    "--ui-port": "PORT",
    "--ui-ip": "IP",
    "--ui-public-path": "PATH",
    "--ui-asset-path": "PATH",
    "--ui-codec-endpoint": "URL",
    "--sqlite-pragma": "NAME=VALUE",
    "--output": "FORMAT",
    "--color": "WHEN",
    "--time-format": "FORMAT",
    "--env": "NAME",
    "--env-file": "FILE",
    "--command-timeout": "SPAN",
    "--client-connect-timeout": "SPAN",
    "--config-file": "FILE",
    "--profile": "NAME",
}
_FLAGS_WITHOUT_MEANING: Final = (
    "--ui-disable-news-fetch",
    "--log-config",
    "--no-json-shorthand-payloads",
    "--disable-config-file",
    "--disable-config-env",
)
_DYNAMIC: Final = {
    "limit.historyCount.suggestContinueAsNew": "core.suggest_events_count",
    "limit.historySize.suggestContinueAsNew": "core.suggest_history_bytes",
    "limit.historyCount.error": "core.history_events_max_count",
    "limit.historySize.error": "core.history_max_bytes",
    "limit.numPendingActivities.error": "core.pending_activities_max_count",
    "limit.numPendingChildExecutions.error": "core.pending_children_max_count",
    "limit.numPendingSignals.error": "core.pending_signals_max_count",
    "limit.numPendingCancelRequests.error": "core.pending_cancels_max_count",
    "history.maximumSignalsPerExecution": "core.signals_max_count",
    "system.enableActivityEagerExecution": "core.eager_activities",
}
"""Temporal's dynamic settings that have a setting of ours."""
_AS_IT_IS: Final = frozenset(
    {"system.enableEagerWorkflowStart", "system.forceSearchAttributesCacheRefreshOnRead"}
)
"""Those that ask for what is always so."""
_PATHS: Final = {
    "ip": "node.ip",
    "port": "node.port",
    "db_filename": "node.data_dir",
    "namespace": "node.namespaces",
    "search_attribute": "node.search_attributes",
    "metrics_port": "metrics.port",
    "log_level": "log.level",
    "log_format": "log.format",
    "kafka": "kafka.address",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.set_defaults(run=run)
    serving = parser.add_argument_group("serving")
    serving.add_argument("--ip", help="address to listen on (127.0.0.1)")
    serving.add_argument("--port", "-p", type=int, help="gRPC port (7233); 0: a free one")
    serving.add_argument("--metrics-port", type=int, help="serve Prometheus metrics on this port")
    serving.add_argument(
        "--namespace", "-n", action="append", help="register a namespace; may be repeated"
    )
    serving.add_argument(
        "--search-attribute",
        action="append",
        metavar="NAME=TYPE",
        help="add a search attribute (Text, Keyword, Int, Double, Bool, Datetime, KeywordList)",
    )
    keeping = parser.add_argument_group("keeping")
    keeping.add_argument(
        "--db-filename", "-f", metavar="FOLDER", help="folder for the data; none: a temporary one"
    )
    keeping.add_argument(
        "--archive",
        nargs="?",
        const="",
        metavar="URI",
        help="archive closed workflows of namespaces registered from now on, in a folder beside "
        "the data or at a URI (file:///path, s3://bucket/path)",
    )
    keeping.add_argument(
        "--kafka", metavar="HOST:PORT", help="use this Kafka instead of the embedded broker"
    )
    telling = parser.add_argument_group("telling")
    telling.add_argument("--log-level", choices=("debug", "info", "warn", "error", "never"))
    telling.add_argument("--log-format", choices=("text", "json", "pretty"))
    telling.add_argument(
        "--print-settings", action="store_true", help="print the effective settings and end"
    )
    setting = parser.add_argument_group("setting")
    setting.add_argument(
        "--dynamic-config-value",
        action="append",
        metavar="NAME=JSON",
        default=[],
        help="a setting by Temporal's name for it; unknown names have no effect",
    )
    setting.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
    setting.add_argument(
        "--set", action="append", metavar="PATH=VALUE", default=[], help="one setting by its path"
    )
    _configure_accepted(parser)


def run(options: argparse.Namespace) -> int:
    """Run a node until it is told to stop; return the exit code."""
    loaded = _settings(options)
    if options.print_settings:
        sys.stdout.write(shown(loaded))
        return 0
    if options.without_meaning:
        names = ", ".join(dict.fromkeys(options.without_meaning))
        sys.stderr.write(f"millrace: accepted, but without effect yet: {names}\n")
    return _launch(loaded.settings)


def _launch(settings: Settings) -> int:
    from infra.launch import launch  # noqa: PLC0415  # help and refusals need not wait for it

    return launch(settings)


def _settings(options: argparse.Namespace) -> Loaded:
    flags: dict[str, object] = {
        path: getattr(options, name)
        for name, path in _PATHS.items()
        if getattr(options, name) is not None
    }
    if options.archive is not None:
        flags["archival.namespace_state"] = "enabled"
    if options.archive:
        flags |= dict.fromkeys(("archival.history_uri", "archival.visibility_uri"), options.archive)
    for one in options.dynamic_config_value:
        name, _, value = one.partition("=")
        if name in _DYNAMIC:
            flags[_DYNAMIC[name]] = value
        elif name not in _AS_IT_IS:
            options.without_meaning.append(f"--dynamic-config-value {name}")
    for one in options.set:
        path, _, value = one.partition("=")
        flags[path] = value
    return load(file=options.config, environment=os.environ, flags=flags)


def _configure_accepted(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(without_meaning=[])
    group = parser.add_argument_group(
        "accepted for Temporal's sake", "without effect yet; a warning names them"
    )
    group.add_argument(
        "--headless",
        nargs="?",
        const=True,
        action=_accept(lambda _: False),
        metavar="BOOL",
        help="there is no web UI yet: it always is",
    )
    for name, metavar in _WITHOUT_MEANING.items():
        group.add_argument(name, metavar=metavar, action=_accept(lambda _: True))
    for name in _FLAGS_WITHOUT_MEANING:
        group.add_argument(
            name, nargs="?", const=True, metavar="BOOL", action=_accept(lambda _: True)
        )


def _accept(is_worth_a_word: Callable[[object], bool]) -> type[argparse.Action]:
    """Return the action that notes an option which has no effect."""

    class Accept(argparse.Action):
        """Note the option's name."""

        def __call__(
            self,
            parser: argparse.ArgumentParser,
            namespace: argparse.Namespace,
            values: Any,
            option_string: str | None = None,
        ) -> None:
            del parser
            if is_worth_a_word(values):
                namespace.without_meaning = [*namespace.without_meaning, option_string]

    return Accept
