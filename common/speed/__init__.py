"""How fast an engine is: the timed loop, a bench for any engine, worker processes, profiles, scaling curves."""
