"""Tests of one workflow execution."""
