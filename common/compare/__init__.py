"""The comparison of both frameworks: worker processes, the order of the work, the report, the diff of two reports."""
