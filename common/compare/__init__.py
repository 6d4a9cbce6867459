"""The comparison: workers, the timed loop, certificates, cross-checks, the parity ladder, the report."""
