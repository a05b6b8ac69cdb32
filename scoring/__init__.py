"""Batch and streaming jobs: they run where the data is, and know MLflow and one engine, nothing of the watcher.

A job is told where its release pointer lies. The pointer names one pinned version; whoever moves it decides what is
scored with. A job writes what it did beside the pointer, so that *moved* and *applied* are two different things.
"""
