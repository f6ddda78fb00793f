"""Matching: task queues on the topic `tasks`. The shell around `topology/matching`.

`node.py` is the door: polls come in, offers come in, batches of `tasks` come in. `served.py` is
one partition that this node owns, `matcher.py` sees matches through, `verdicts.py` asks history,
`held.py` and `tasks_log.py` write.
"""
