"""A small local web page to try a trained model: `python -m common.page`."""
