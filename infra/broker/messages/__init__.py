"""The message tables, by family: nothing but `Api` values, compiled by `infra.broker.schema`."""
