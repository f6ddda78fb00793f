"""The collector of cycles is calmed, not turned off."""

import gc

from infra.garbage import calm


def test_cycles_are_still_collected() -> None:
    """Seldom; and what was there before is not looked at again."""
    thresholds = gc.get_threshold()
    try:
        calm()
        assert gc.isenabled()
        assert all(now > was for now, was in zip(gc.get_threshold(), thresholds, strict=True))
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
