"""Names of deployments: the place's own, which the settings give, and a release's, which nobody else's can be."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from watcher.errors import UserError
from watcher.naming import LONGEST
from watcher.text import plain
from watcher.values import Target

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")


def place(kind: str, settings: Mapping[str, Any]) -> str:
    """`mlflow-plugin:sagemaker:/us-west-2/churn`: the plugin's target and the deployment's name."""
    plugin, name = settings.get("plugin"), settings.get("deployment")
    if not isinstance(plugin, str) or not plugin:
        raise UserError("`plugin` must be the target URI that the plugin takes, such as sagemaker:/us-west-2.")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            "`deployment` must be a name of letters, digits and '-', at most 63, and begin with a letter or a digit,"
            f" not {plain(name)!r}."
        )
    return f"{kind}:{plugin}/{name}"


def deployment(target: Target) -> str:
    """The place's deployment."""
    return str(target.settings["deployment"])


def own(target: Target, release: str) -> str:
    """A release's own deployment: `churn-v12-3f9ac2-b01d55`, at most 32 characters.

    A plugin keeps no tags, so the name says whose it is: its last digits stand for the owner and the place.
    """
    whose = json.dumps([target.owner, place(target.kind, target.settings)])
    slug, *rest = release.rsplit("-", 2)
    tail = "-".join(["", *rest, hashlib.sha256(whose.encode()).hexdigest()[:6]])
    return slug[: LONGEST - len(tail)].rstrip("-") + tail
