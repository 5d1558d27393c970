"""One file a sink; each states what its server can."""
