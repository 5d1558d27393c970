"""One file a condition; the module name is the key that a rule uses."""
