"""The h2 transport, piece by piece."""
