"""Record files, data folders, splits, and the one order of batches that feeds both frameworks."""
