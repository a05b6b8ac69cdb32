"""The engine for clusters: Delta tables by Spark, rows scored on its workers, each of which loads a version once."""
