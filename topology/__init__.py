"""The pure core: what may be asked, what happens then, what follows from it.

Functions of values only: no clock, randomness, I/O, logging or asyncio (a test reads the imports);
time, ids and seeds arrive as arguments. Start reading in `decision.py` (what goes in and out),
then `core.py` (the door), `turn.py` (how a decision is made) and `workflow/`.
"""
