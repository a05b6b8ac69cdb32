"""Champion and challenger scored on the same rows, and what their difference is worth."""
