"""Corners of the loop that no story needs: each keeps one promise of DESIGN's invariants."""

from __future__ import annotations
