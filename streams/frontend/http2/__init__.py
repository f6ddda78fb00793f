"""HTTP/2 for the frontend, on the sans-I/O library `h2`: calls of one socket read come together.

`connection.py` is the asyncio side of one client's connection, `session.py` its HTTP/2 state,
`wire.py` the frames we write, `messages.py` gRPC's framing, `calls.py` what is open, `outgoing.py`
what waits for room, `floods.py` what a peer may not do too often. Decision 13 says why.
"""
