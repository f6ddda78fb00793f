"""Everything that awaits: Faust apps, the log engine, matching, gateway, calls, the frontend.

The core (`topology`) decides, this package makes it last: appends, folds, answers, performs. It is
given its Kafka, stores, clock and randomness by `infra`, so two servers may live in one process.
Start reading in `log/serving.py` (the owner's loop), then `gateway.py` and `frontend/rpcs.py`.
"""
