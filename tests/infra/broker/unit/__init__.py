"""Tests of the modules of the broker, without a socket."""
