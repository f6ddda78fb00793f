"""Archives: closed runs on files or S3, written once and found again.

Synchronous; run in threads by streams. Nothing lives here yet: archives are the issue after
search. This package imports schemas only.
"""
