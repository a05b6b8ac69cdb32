"""Endpoints on the own machine: one public port a model, one worker process a release. Needs nothing of the watcher."""
