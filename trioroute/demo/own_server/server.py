"""A server that speaks TensorFlow Serving's REST protocol, for one model: x / 2 + 2.

Usage: `server.py PORT`. Its paths are its own; `inference_config` in the deployment says which they
are. MODEL_NAME is the model's name in them.
"""

# ruff: noqa: INP001
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MODEL = f"/v1/models/{os.environ['MODEL_NAME']}"


class Handler(BaseHTTPRequestHandler):
    """One client connection."""

    protocol_version = "HTTP/1.1"
    #: Head and body leave in two writes: otherwise the second waits 40 ms for the first one's ACK.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The model's state, which is what both probes ask for."""
        if self.path == _MODEL:
            self._answer(200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]})
        else:
            self._answer(404, {"error": f"no such path: {self.path}"})

    def do_POST(self) -> None:
        """Predict."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != f"{_MODEL}:predict":
            self._answer(404, {"error": f"no such path: {self.path}"})
            return
        try:
            instances = [float(each) for each in json.loads(body)["instances"]]
        except (ValueError, KeyError, TypeError):
            self._answer(400, {"error": 'expected {"instances": [1.0, 2.0]}'})
        else:
            self._answer(200, {"predictions": [each / 2 + 2 for each in instances]})

    def log_message(self, *_: object) -> None:
        """Nothing per request: the router counts them."""

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
