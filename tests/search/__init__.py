"""Tests of `search/`: the grammar, and two stores that must answer alike."""
