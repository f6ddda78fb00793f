"""The message tables, by family; nothing here but `Api` values. `infra.broker.schema` compiles them."""
