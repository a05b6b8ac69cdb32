"""What one registry can do and another cannot, as data: asked by whoever lists, reads, marks or fetches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from watcher.errors import UserError
from watcher.registry import azure_ml, tags


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of registry behind MLflow's client. The defaults are what MLflow's own registry does."""

    called: str = "MLflow's own registry"
    sign_in: str = "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD,"
    """Where its credentials come from, as a remedy that is told."""
    aliases: bool = True
    """Without them champion and challenger are tags of the model."""
    may_have_aliases: bool = False
    """Whether one of this kind may have aliases all the same: whoever asks for them has it tried first."""
    orders_models: bool = True
    """Whether a listing of models can begin with the one touched last."""
    filters_models: bool = True
    """Whether a listing of models takes a condition about their tags."""
    filters_versions: bool = True
    """Whether versions can be asked for by number and tag, highest first; else only all of one name, in any order."""
    whole_hits: bool = True
    """Whether what a listing gives carries tags and aliases; else each is read by a get of its own."""
    latest_versions: bool = True
    """Whether a model names its newest versions; else they are listed for it."""
    keeps_files: bool = False
    """Whether it keeps the versions' files itself and lends access to them, wherever they were copied from."""
    locates_files: bool = False
    """Whether it alone knows where a version's files lie, whatever its source says."""
    inline_measures: bool = False
    """Whether a version brings its logged model's id and metrics with it."""
    levels: int | None = None
    """Names of models have so many parts, with periods between them; None: a period is a letter like any other."""
    letters: str | None = None
    """What names of models consist of, as a regular expression; None: of anything."""
    quiet_removal: bool = True
    """Whether removing a tag that is not there is known to be no error."""
    dotted_keys: bool = True
    """Whether the key of a tag may have a period."""
    models_page: int = 1_000
    """Models that may be asked for at once."""

    def refuses(self, name: str) -> str | None:
        """Why no model can have this name here, None where one can; see also `names.checked`."""
        parts = name.split(".")
        if self.levels == 1 and len(parts) > 1:
            return f"{self.called} has no names with a period"
        if self.levels is not None and (len(parts) != self.levels or not all(parts)):
            return f"names in {self.called} have {self.levels} parts: catalog.schema.model"
        if self.letters is not None and re.fullmatch(self.letters, name) is None:
            return f"names in {self.called} have letters, digits, '.', '-' and '_', and begin with a letter or a digit"
        if not self.filters_versions and "'" in name:
            return f"it contains a quote, and {self.called} cannot be asked for the versions of such a name"
        return None

    def key(self, ours: str) -> str:
        """One of our keys as it is spelled here; keys that people chose are left alone."""
        return ours if self.dotted_keys or not ours.startswith(tags.PREFIX) else ours.replace(".", "_")

    def read(self, found: Mapping[str, str]) -> Mapping[str, str]:
        """Tags with our keys as they are spelled everywhere else."""
        if self.dotted_keys:
            return found
        ours = {self.key(key): key for key in (*tags.KEYS, *(tags.again(n) for n in tags.numbers(found, "_")))}
        return {ours.get(key, key): value for key, value in found.items()}

    def check_marks(self, asked: str) -> None:
        """Raise `UserError` where the settings ask for marks that this registry does not keep.

        `asked` is `auto`, `alias` or `tag`.
        """
        if asked == "tag" and self.aliases:
            raise UserError(f"registry.marks is 'tag', but {self.called} has aliases: write `auto` or `alias`")
        if asked == "alias" and not (self.aliases or self.may_have_aliases):
            raise UserError(f"registry.marks is 'alias', but {self.called} has none: write `auto` or `tag`")


MLFLOW = Dialect()

_DATABRICKS = "DATABRICKS_HOST with DATABRICKS_TOKEN or a service principal, or the profile in registry.uri,"

WORKSPACE = Dialect(
    called="the workspace's model registry",
    sign_in=_DATABRICKS,
    aliases=False,
    # "A single boolean condition", says the API: a name is one.
    filters_versions=False,
    keeps_files=True,
    quiet_removal=False,
    levels=1,
)

UNITY_CATALOG = Dialect(
    called="Unity Catalog",
    sign_in=_DATABRICKS,
    orders_models=False,
    filters_versions=False,
    # The tags and aliases of a hit are methods that raise; they are never touched.
    whole_hits=False,
    latest_versions=False,
    keeps_files=True,
    inline_measures=True,
    quiet_removal=False,
    levels=3,
    # `. , - = / :` are reserved in the keys of its tags.
    dotted_keys=False,
    # As many as MLflow's client asks for by itself; the most that it allows is not written anywhere.
    models_page=100,
)

AZURE_ML = Dialect(
    called="an Azure ML workspace's registry",
    sign_in="`az login`, this host's managed identity, or AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
    # No word of Microsoft's says that there are any. They are not taken up by themselves where there are: marks that
    # are tags today must not be looked for elsewhere tomorrow.
    aliases=False,
    may_have_aliases=True,
    # By name alone; LIKE, tags and numbers are not served.
    filters_models=False,
    filters_versions=False,
    # What a hit carries is written nowhere, nor which versions a model names: the least is assumed.
    whole_hits=False,
    latest_versions=False,
    locates_files=True,
    letters=r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}",
    quiet_removal=False,
    models_page=100,
)

_BY_SCHEME = {"azureml": AZURE_ML, "databricks": WORKSPACE, "databricks-uc": UNITY_CATALOG}


def dialect_of(uri: str) -> Dialect:
    """The registry that a URI names. Raises `UserError` for one that cannot hold our marks."""
    scheme = uri.partition(":")[0]
    if scheme == "uc":
        raise UserError(
            f"registry.uri is {uri!r}, but the open source Unity Catalog keeps neither tags nor aliases, so no mark"
            " can be written there: register the models in MLflow's own registry or in Databricks"
        )
    if scheme == azure_ml.SCHEME:
        azure_ml.workspace_of(uri)
    return _BY_SCHEME.get(scheme, MLFLOW)


def tracking_of(uri: str) -> str:
    """Where runs are kept beside a registry, unless the settings say otherwise: the same place.

    Unity Catalog keeps none; they are in the workspace that it is asked through.
    """
    scheme, colon, rest = uri.partition(":")
    return f"databricks{colon}{rest}" if scheme == "databricks-uc" else uri
