"""Kafka as the engine needs it: producers, admin, readers of `events`, topics read whole.

Everything here is librdkafka (confluent-kafka); what is aiokafka's lives with Faust in
`streams/faust_batches.py`. Start reading in `producer.py` and `readers.py`; the contracts are in
`streams/log/ports.py`.
"""
