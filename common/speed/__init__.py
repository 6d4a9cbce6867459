"""How fast an engine is: the timed loop, a bench for any engine of any size, profiles, scaling curves."""
