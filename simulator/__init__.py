"""Local servers that speak the venues' protocols to unmodified clients."""
