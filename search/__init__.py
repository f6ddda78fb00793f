"""Finding runs: the List Filter grammar, and two stores that answer every query alike.

Start reading at `query/parser.py` (text to syntax), `query/resolve.py` (names, types, meaning) and
`store.py` (what a store promises). `sqlite.py` and `elastic.py` keep the promise; what they send
comes from the pure `to_sql.py` and `to_elastic.py`. Nothing here knows the engine, Kafka or gRPC:
whoever follows the events topic makes a `Document` of a run and writes it.
"""
