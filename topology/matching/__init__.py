"""Task queues, pure: who is offered what next. Holds hints only; history decides (M1)."""
