"""A demonstration: 200 orders, half of them over gRPC, half over Kafka (`make demo`)."""
