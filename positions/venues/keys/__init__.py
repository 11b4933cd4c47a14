"""What an account's API key may do."""
