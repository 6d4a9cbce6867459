"""The embedded corpus: synthetic voices by espeak-ng, each session through a channel of its own."""
