"""From recordings to a data folder: `python -m common.prepare`; downloads: `common.prepare.fetch`."""
