"""What a person sees of what was measured: its pictures, a run's page, and the ladder in words.

They know the results, and no result knows them. A table of one measurement stands with it.
"""
