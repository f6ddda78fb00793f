"""Archives at run time: what waits at the owners goes to its archive, and is found there again.

`node.py` is the archival agent's node, `batch.py` what it does, `backlog.py` what it asks of
owners; `archives.py` opens archives for all who await; `filters.py` lets archived runs be searched
with the List Filter. How an archive looks is the business of the package `archival`.
"""
