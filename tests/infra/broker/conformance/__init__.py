"""What a Kafka promises: the same tests against Apache Kafka and the embedded broker."""
