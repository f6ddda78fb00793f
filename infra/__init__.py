"""The composition root: settings, command line, processes, and the embedded broker.

Here roles become a running process, and nowhere else: `process.py` is the only place where objects
meet. Nothing here decides about workflows, and no other package imports this one. The embedded
broker in `broker/` is a program of its own that knows nothing of the rest. Start reading at
`cli/dev.py`, then `launch.py`, then `process.py`.
"""
