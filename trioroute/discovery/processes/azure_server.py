"""Runs the Azure inference server on loopback; executed by a runtime's interpreter, by file path.

`azmlinfsrv` always listens on every address of the machine (its constant DEFAULT_HOST, since its
containers need that, and its own Gunicorn arguments win over GUNICORN_CMD_ARGS). A laptop's model
server shall be reachable through the router only (decision 1), so the constant is replaced before
it is used. Imports nothing of ours: the runtime is another virtual environment.
"""

import os
import sys

# Python put this file's folder first on the module path; the user's script must not find ours.
sys.path[:] = [folder for folder in sys.path if folder != os.path.dirname(__file__)]  # noqa: PTH120

from azureml_inference_server_http import amlserver  # type: ignore[import-not-found] # noqa: E402

amlserver.DEFAULT_HOST = "127.0.0.1"
amlserver.run()
