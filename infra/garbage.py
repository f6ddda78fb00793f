"""The collector of reference cycles, told what kind of process this is.

A node holds many objects for long and makes few cycles. By default Python looks through the young
objects every 700 allocations and through all of them ever so often: a fifth of a busy node's time.
"""

import gc
from typing import Final

_YOUNG_COUNT: Final = 50_000
_MIDDLE_ROUNDS: Final = 20
_OLD_ROUNDS: Final = 50


def calm() -> None:
    """Look seldom, and never again at what is there now: modules, schemas, settings."""
    gc.freeze()
    gc.set_threshold(_YOUNG_COUNT, _MIDDLE_ROUNDS, _OLD_ROUNDS)
