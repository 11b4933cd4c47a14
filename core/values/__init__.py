"""Values that all apps share: money in JSON, the decimal context, labels."""
