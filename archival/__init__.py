"""Archives: closed runs on files or S3, written once and found again.

Start reading at `archiver.py` (archive a run, read it back) and `store.py` (what a store of objects
promises; `files.py` and `s3.py` keep it). `layout.py` and `blobs.py` say where things lie and what
they look like: as Temporal's archivers have it. `lake.py` keeps the records of all runs beside
that, searchable. Everything is synchronous; whoever awaits runs it in threads. This package
imports schemas only.
"""
