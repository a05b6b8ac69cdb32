"""Adapters of Feed, Registry, Orders and Evidence, one file a product; the rest is what they share."""
