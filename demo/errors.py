"""Why a demo does not go on."""

from __future__ import annotations


class DemoError(Exception):
    """A sentence for the person who started it."""


class Stopped(BaseException):
    """A signal asked for the end; not an Exception, so that nobody on the way takes it for a fault."""
