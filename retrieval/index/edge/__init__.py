"""The embedded index: one Qdrant Edge shard per tenant and generation, in this process."""
