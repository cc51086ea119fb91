"""A scoring script as Azure ML wants it: init() once per process, run() once per request."""

# ruff: noqa: INP001, PLW0603
# mypy: disable-error-code=import-not-found
import json
import os
from pathlib import Path
from typing import Any

import joblib

model: Any = None


def init() -> None:
    """Load the model; Azure puts what the deployment's `model` names into this folder."""
    global model
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / os.environ["MODEL_FILE"])


def run(raw_data: str) -> dict[str, Any]:
    """Predict the digit of each row of 64 pixels, 0 to 16 each."""
    rows = json.loads(raw_data)["data"]
    return {"model": type(model).__name__, "digits": model.predict(rows).tolist()}
