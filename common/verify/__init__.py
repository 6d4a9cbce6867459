"""Voices enrolled by a few recordings each, and whether a recording is by one of them."""
