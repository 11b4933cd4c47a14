"""The API of live positions, their summary and health."""
