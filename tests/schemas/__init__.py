"""Tests of the schemas and their registry."""
