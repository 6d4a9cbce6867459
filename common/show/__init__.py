"""What a person sees of what was measured: its pictures. They know the results, and no result knows them."""
