"""The log engine of a history partition: commands in, facts out, exactly once.

The rule book is the log protocol; rules are named by their numbers (L1 ... R1). Start reading in
`partition.py` (one partition's life), then `deciding.py` and `writing.py` (a command becomes a
record), `folded.py` (a record becomes state), `takeover.py` (who may write), `forwarding.py` (what
goes to other partitions), `clients.py` (what Kafka clients ask). `node.py` is the door for all
others.

Nothing here knows workflows, Kafka clients or RocksDB: see `topology/machine.py` and `ports.py`.
"""
