"""The shells: agents, the log engine, matching, the frontend, Kafka, and what they share."""
