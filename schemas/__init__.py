"""Words and bytes: ids, instants, errors, Avro records, RocksDB rows, Temporal's protobufs.

Everything that has a shape outside a process is described here and nowhere else. This package
imports none of ours and does no I/O. Start reading in `avro/transition.avsc` (what is recorded),
then `ids.py` (who is who) and `errors.py` (whose fault it is).
"""
