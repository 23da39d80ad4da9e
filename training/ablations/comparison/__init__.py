"""Which encoder serves a generator best: encoders trained alike, frozen, and given to the same generator."""
