"""The engine without a JVM: Delta tables by delta-rs, rows by Arrow, one process."""
