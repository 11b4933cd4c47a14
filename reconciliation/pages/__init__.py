"""The pages of proof: what they read, and their views."""
