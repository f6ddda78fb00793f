"""Temporal's List Filter: tokens -> syntax -> expressions with types, the same for every store."""
