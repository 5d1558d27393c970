"""Edgeward: a gateway between the machines of a factory and the cloud. ARCHITECTURE.md is the map."""
