"""Tests of archives, mirroring the package."""
