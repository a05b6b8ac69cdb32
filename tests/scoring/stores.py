"""Object stores for jobs and pointers: Azurite, reached as a storage account is."""

from __future__ import annotations

import contextlib
import uuid

import pytest

from tests.azurite import ACCOUNT, KEY, Azurite

CONTAINER = "pointers"


def in_store(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a folder of one's own; the environment is what a job there would have."""
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import BlobServiceClient

    with contextlib.suppress(ResourceExistsError):
        BlobServiceClient.from_connection_string(azurite.connection).create_container(CONTAINER)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://127.0.0.1:{azurite.blob}/{ACCOUNT}")
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    return f"az://{CONTAINER}/{uuid.uuid4().hex}"
