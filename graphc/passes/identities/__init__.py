"""The identities that canonicalization applies, by family."""
