"""Tests: the same paths as the code, and the suites that need a whole server.

`house` holds the rules of the project, `support` what tests share, `simulation` the engine under
one seed, `end_to_end` the official SDK against a process, `chaos` kill -9 and the auditor, `bench`
speed.
"""
