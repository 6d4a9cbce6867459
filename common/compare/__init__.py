"""The comparison of both frameworks: speed, learning and sameness in one run, its report, the diff of two."""
