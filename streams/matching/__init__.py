"""Matching: task queues on the topic `tasks`. The shell around `topology/matching`.

`node.py` is the door: polls come in, offers come in, batches of `tasks` come in. `served.py` is
one partition that this node owns, `verdicts.py` asks history, `tasks_log.py` appends.
"""
