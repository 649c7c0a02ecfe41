"""FiftyOne: masks for the samples of a dataset."""
