"""Tests of namespaces as the core decides them."""
