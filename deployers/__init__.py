"""What moves targets, one module a kind. Nothing is imported before it is asked for."""

from deployers.kinds import GROUP, KINDS, SHAPES, environment, load, objections, place, runs, shape

__all__ = ["GROUP", "KINDS", "SHAPES", "environment", "load", "objections", "place", "runs", "shape"]
