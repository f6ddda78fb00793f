"""One file per family of APIs; each API is a function (broker, request, call) -> response.

`routes` lists them all. A function returns the response, or a coroutine of it where the client has
to wait, or None where none is sent. It decides nothing about frames, versions or encoding.
"""
