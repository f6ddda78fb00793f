"""Task queues, pure: who is offered what next. Holds hints only; history decides (M1).

No clock, no I/O: instants and rows are arguments. Start reading in `queue.py` (one task queue),
then `backlog.py` (its tasks in order), `rows.py` (what is stored of the topic `tasks`).
"""
