"""The store: sealed chunks on disk, and what each sink still has to get. Everything SQL lives here."""
