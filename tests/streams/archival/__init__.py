"""Tests of how events become documents."""
