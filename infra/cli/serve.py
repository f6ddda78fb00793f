"""`millrace serve`: one node of several, on a Kafka of yours, with the roles you choose.

This file turns options into settings; `infra/process.py` runs the node.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from infra.failures import StartFailure
from infra.settings import Settings
from infra.sources import Loaded, load, shown

SUMMARY: Final = "Run one node of several on a Kafka of yours."

EPILOG: Final = """\
Settings come from defaults, a TOML file (--config), the environment (MILLRACE_...) and options; the
later one wins. --print-settings shows all of them, and where each value came from.

examples, two nodes on one machine:
  millrace serve --kafka 127.0.0.1:9092 --data-dir ./one
  millrace serve --kafka 127.0.0.1:9092 --data-dir ./two --port 7234
and on a machine each, reachable as node-1 and node-2:
  millrace serve --kafka kafka:9092 --ip 0.0.0.0 --data-dir /var/lib/millrace \\
      --internal-ip 0.0.0.0 --internal-port 7235 --internal-address node-1:7235
a node that only takes calls:
  millrace serve --kafka 127.0.0.1:9092 --roles frontend --port 7240

try next, in Python with `pip install temporalio`:
  client = await Client.connect("127.0.0.1:7233")     any node will do
"""

_PATHS: Final = {
    "kafka": "kafka.address",
    "roles": "node.roles",
    "name": "node.name",
    "ip": "node.ip",
    "port": "node.port",
    "internal_ip": "node.internal_ip",
    "internal_port": "node.internal_port",
    "internal_address": "node.internal_address",
    "data_dir": "node.data_dir",
    "namespace": "node.namespaces",
    "metrics_port": "metrics.port",
    "log_level": "log.level",
    "log_format": "log.format",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.set_defaults(run=run)
    node = parser.add_argument_group("node")
    node.add_argument("--kafka", metavar="HOST:PORT", help="Kafka's bootstrap servers")
    node.add_argument("--roles", metavar="ROLE,...", help="frontend,history,matching (all)")
    node.add_argument("--name", help="name in `owners` (host name and process id)")
    node.add_argument("--data-dir", "-d", metavar="FOLDER", help="stores; none: a temporary folder")
    node.add_argument(
        "--namespace", "-n", action="append", help="register a namespace; may be repeated"
    )
    clients = parser.add_argument_group("for clients")
    clients.add_argument("--ip", help="address to listen on (127.0.0.1)")
    clients.add_argument("--port", "-p", type=int, help="gRPC port (7233); 0: a free one")
    clients.add_argument("--metrics-port", type=int, help="serve Prometheus metrics on this port")
    others = parser.add_argument_group("for other nodes")
    others.add_argument("--internal-ip", help="address to listen on (127.0.0.1)")
    others.add_argument("--internal-port", type=int, help="port (0: a free one)")
    others.add_argument(
        "--internal-address", metavar="HOST:PORT", help="where other nodes reach that port"
    )
    telling = parser.add_argument_group("telling")
    telling.add_argument("--log-level", choices=("debug", "info", "warn", "error", "never"))
    telling.add_argument("--log-format", choices=("text", "json", "pretty"))
    telling.add_argument(
        "--print-settings", action="store_true", help="print the effective settings and end"
    )
    setting = parser.add_argument_group("setting")
    setting.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
    setting.add_argument(
        "--set", action="append", metavar="PATH=VALUE", default=[], help="one setting by its path"
    )


def run(options: argparse.Namespace) -> int:
    """Run a node until it is told to stop; return the exit code."""
    loaded = _settings(options)
    if options.print_settings:
        sys.stdout.write(shown(loaded))
        return 0
    check(loaded.settings)
    return _launch(loaded.settings)


def check(settings: Settings) -> None:
    """Refuse settings with which no node of several can run; raises StartFailure."""
    if not settings.kafka.address:
        raise StartFailure(
            "A node needs a Kafka: give --kafka HOST:PORT or set kafka.address "
            "(`millrace dev` brings its own)."
        )
    if not settings.node.roles:
        raise StartFailure("A node needs a role: give --roles frontend,history,matching or some.")


def _launch(settings: Settings) -> int:
    from infra.launch import launch  # noqa: PLC0415  # help and refusals need not wait for it

    return launch(settings)


def _settings(options: argparse.Namespace) -> Loaded:
    flags: dict[str, object] = {
        path: getattr(options, name)
        for name, path in _PATHS.items()
        if getattr(options, name) is not None
    }
    for one in options.set:
        path, _, value = one.partition("=")
        flags[path] = value
    return load(file=options.config, environment=os.environ, flags=flags)
