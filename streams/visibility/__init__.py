"""Visibility: `events` followed into the search store, by the accept rule and with a cursor (V1).

`indexing.py` is pure: facts of a run become its searchable record. `partition.py` decides which
records count, `node.py` writes what they say, in batches and in a thread. The store being slow or
down slows nobody else; it is caught up. Who asks the store lives in `frontend/visibility.py`.
"""
