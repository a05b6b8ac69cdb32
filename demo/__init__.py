"""The whole loop on one machine, on real parts: `python -m demo`."""
