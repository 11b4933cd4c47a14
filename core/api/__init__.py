"""What every API operation shares: authentication, rate limits, idempotency, paging, the OpenAPI document."""
