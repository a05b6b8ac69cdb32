"""Measurements behind the table "How fast": one file a benchmark, each with both of its sides in one run."""
