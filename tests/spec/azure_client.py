"""Asks azure-ai-ml what it makes of a file; run by an interpreter that has it, one JSON per line.

In: `{"kind", "path", "overrides"}`. Out: `{"rest"}` or `{"error"}`. Imports nothing of trioroute:
the client needs versions of packages that trioroute's own environment need not have.
"""

import importlib
import json
import logging
import sys
import warnings
from typing import Any


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Load a file and build the REST body as `az ml` would."""
    entities = importlib.import_module("azure.ai.ml")

    overrides = [{name: value} for name, value in question["overrides"].items()]
    try:
        if question["kind"] == "endpoint":
            endpoint = entities.load_online_endpoint(question["path"], params_override=overrides)
            rest = endpoint._to_rest_online_endpoint("local")
        else:
            deployment = entities.load_online_deployment(
                question["path"], params_override=overrides
            )
            rest = deployment._to_rest_object("local")
        body = rest.as_dict() if hasattr(rest, "as_dict") else rest.serialize()
        return {"rest": json.loads(json.dumps(body, default=str))}
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer until the input ends."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
