"""Azure Machine Learning: what its online and batch endpoints have in common, and one module for each of the two."""
