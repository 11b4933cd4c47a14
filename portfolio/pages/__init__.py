"""The pages: what they read, and their views."""
