"""The embedded broker: one node, loopback, Kafka's protocol, records in Kafka's segment format.

Start reading at `server` (a frame becomes a call), then `api.routes` (every API and the function
that serves it), then `log` (one partition). `groups` and `transactions` hold the two coordinators,
`upkeep` the work in the background. `skipped.md` says what it does not do.

It is a program of its own (`python -m infra.broker`), run as a child by `child.BrokerChild`. No
Kafka client is imported here, and nothing of Millrace but this package.
"""
