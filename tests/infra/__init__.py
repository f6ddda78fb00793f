"""Tests of infra, in the same paths as the code."""
