"""Names of created things: pure functions of what they name, legal on every target."""

from __future__ import annotations

import re
from functools import lru_cache

from watcher.values import Identity

LONGEST = 32
"""Azure ML's limit for a deployment name, the tightest of all targets."""


def slug(name: str, longest: int = LONGEST) -> str:
    """`prod.risk.Churn` -> `prod-risk-churn`: lower case letters, digits and single dashes, a letter first."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not plain or not plain[0].isalpha():
        plain = f"m-{plain}".rstrip("-")
    return plain[:longest].rstrip("-")


@lru_cache(maxsize=8_192)
def release_name(identity: Identity) -> str:
    """`slug-v12-a1b2c3`, at most 32 characters; the digest keeps two slugs cut to the same length apart."""
    tail = f"-v{identity.version}-{identity.digest}"
    return slug(identity.name, LONGEST - len(tail)) + tail
