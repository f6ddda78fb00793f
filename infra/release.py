"""`python -m infra.release VERSION`: keep the Avro schemas of a release for the compatibility test.

From then on `tests/house/test_schemas.py` compares every schema with these, and the codec reads
records that were written with them.
"""

import re
import sys
from pathlib import Path

_SCHEMAS = Path(__file__).resolve().parents[1] / "schemas" / "avro"


def release(version: str, schemas: Path = _SCHEMAS) -> list[Path]:
    """Copy every schema to `released/<name>.<version>.avsc`; a version is written once."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise SystemExit(f"expected a version such as 0.2.0, found {version!r}")
    written = []
    for schema in sorted(schemas.glob("*.avsc")):
        kept = schemas / "released" / f"{schema.stem}.{version}.avsc"
        if kept.exists():
            raise SystemExit(f"expected {version} to be new, found {kept.name}")
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(schema.read_bytes())
        written.append(kept)
    return written


def main(arguments: list[str]) -> None:
    """Run it with the command line's arguments."""
    for path in release(arguments[0] if arguments else ""):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
