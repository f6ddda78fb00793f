"""What a started node says: where it listens, where its data is, what to try next."""

from importlib.metadata import version

from infra.folder import DataFolder
from infra.settings import Settings


def banner(
    settings: Settings, folder: DataFolder, address: str, *, kafka: str, internal: str
) -> str:
    """Return the lines for stdout; a node without a frontend has no address."""
    where = "a temporary folder, removed at the end" if folder.is_temporary else str(folder.path)
    lines = [
        f"Millrace {version('millrace')}",
        "",
        f"  Temporal Server  {address or '-'}",
        f"  Kafka            {kafka}{'' if settings.kafka.address else ' (embedded)'}",
        f"  Data             {where}",
        f"  Other nodes      {internal}",
    ]
    if settings.metrics.port:
        lines.append(
            f"  Metrics          http://{settings.node.ip}:{settings.metrics.port}/metrics"
        )
    if address:
        lines += [
            "",
            "Try next: point any Temporal SDK at it, for example in Python",
            f'  client = await temporalio.client.Client.connect("{address}")',
        ]
    lines += ["Ctrl-C stops it.", ""]
    return "\n".join(lines) + "\n"
