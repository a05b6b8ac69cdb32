"""Begins operations as `python -m deployers.mlflow_plugin` does, in processes of their own, without importing anew."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mlflow.deployments
import pandas as pd

from deployers.mlflow_plugin.__main__ import main

if __name__ == "__main__":
    assert mlflow.deployments
    assert pd
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(main(Path(line.strip())))
        os.waitpid(child, 0)
        print("begun", flush=True)  # noqa: T201 - who asked waits for it
