"""kill -9 at random points under load, and the auditor that reads the log afterwards.

Nothing here imports the packages under test: the auditor knows the `.avsc` files only.
"""
