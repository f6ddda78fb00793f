"""The Faust app and agent of each role: batches in, a node's `submit`. Nothing is decided here."""
