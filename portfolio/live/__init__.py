"""The hub and the sockets: what browsers see without a reload."""
