"""Which Kafka a command looks at: by `--kafka`, the environment or a settings file, as `serve`."""

import argparse
import os
from pathlib import Path

from infra.failures import StartFailure
from infra.sources import load


def configure_where(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where Kafka is."""
    parser.add_argument("--kafka", metavar="HOST:PORT", help="Kafka's bootstrap servers")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")


def address_of(options: argparse.Namespace) -> str:
    """Return the address of Kafka; raises StartFailure where none is given."""
    flags = {"kafka.address": options.kafka} if options.kafka else {}
    loaded = load(file=options.config, environment=os.environ, flags=flags)
    if not loaded.settings.kafka.address:
        raise StartFailure(
            "Which Kafka? Give --kafka HOST:PORT or set kafka.address "
            "(`millrace dev` prints the address of its own when it starts)."
        )
    return loaded.settings.kafka.address
