"""Names in a store: ids as they are where that is safe, percent-encoded where it is not.

Temporal writes ids raw, so what is safe stays raw and both read each other's archives. Encoded are
`/`, `%` and control characters, `.` and `..`, and what is not valid Unicode. An id that is too
long for an object's name is cut and told apart by a hash, behind a `%~` that encoding never
writes. So different ids never have one name.
"""

import hashlib
import re
from typing import Final

LONGEST: Final = 512
"""Bytes of the longest part of a name."""

_UNSAFE: Final = re.compile(r"[/%\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_KEPT: Final = 128


def part(identifier: str, longest: int = LONGEST) -> str:
    """Return an id as one part of a name: never empty, never `.` or `..`, without `/`."""
    text = _UNSAFE.sub(_encoded, identifier)
    if text in ("", ".", ".."):
        return "%~" if not text else text.replace(".", "%2E")
    if len(text.encode()) <= longest:
        return text
    head = text.encode()[: min(_KEPT, longest - 66)].decode(errors="ignore")
    whole = identifier.encode(errors="surrogatepass")
    return f"{head.rpartition('%')[0] or head}%~{hashlib.sha256(whole).hexdigest()}"


def is_raw(identifier: str) -> bool:
    """Whether the name of an id is the id, as Temporal would write it."""
    return part(identifier) == identifier


def _encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogatepass"))
