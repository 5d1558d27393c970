"""A plant to practise on, served by real servers and clients. Imports nothing of the gateway."""
