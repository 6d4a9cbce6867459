"""From recordings to a data folder: `python -m common.prepare`; `--from-url` downloads one."""
