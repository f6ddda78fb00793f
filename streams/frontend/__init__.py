"""The gRPC frontend: what clients and workers talk to.

Start reading in `rpcs.py`: the table of every RPC served, each naming its one function. A
transport (`transport.py`, `grpcio_transport.py`) brings calls in; nothing else here knows how.
No decision about a workflow is made in this package.
"""
