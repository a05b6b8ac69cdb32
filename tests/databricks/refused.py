"""An answer of the stand-in other than 200."""

from __future__ import annotations


class Refused(Exception):
    """Status, error code and message as Databricks gives them."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}
