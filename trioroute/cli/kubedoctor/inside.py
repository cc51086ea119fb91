"""What `doctor --deep` runs in a pod: looks names up, opens connections, looks for files.

It is sent as text to the Python of the front-ends' image, of whatever version of trioroute that is:
so it is alone, with nothing of ours and nothing but the standard library.
"""

import concurrent.futures
import json
import os
import socket
import ssl
import sys

__all__ = ["look_around"]

#: Of one connection, and of everything together, seconds.
CONNECT_S = 4.0
ALL_S = 10.0
#: The kubelet cuts a last word here.
BYTES_MAX = 4096
TEXT_MAX = 90


def look_around(targets: list[tuple[str, int, str]], paths: list[str]) -> dict[str, list[str]]:
    """What is wrong with each, in one line; empty for nothing.

    Args:
        targets: host, port and one of name, tcp, tls.
        paths: of files and folders that have to be there.
    """
    pool = concurrent.futures.ThreadPoolExecutor(max(len(targets), 1))
    tries = [pool.submit(try_one, *target) for target in targets]
    done, _ = concurrent.futures.wait(tries, ALL_S)
    said = [one.result() if one in done else "no answer" for one in tries]
    return {
        "targets": [text[:TEXT_MAX] for text in said],
        "paths": ["" if os.path.exists(path) else "it is not there" for path in paths],  # noqa: PTH110
    }


def try_one(host: str, port: int, kind: str) -> str:
    """Of one target."""
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return f"its name is not found: {getattr(error, 'strerror', '') or error}"
    if kind == "name":
        return ""
    try:
        with socket.create_connection((host, port), CONNECT_S) as connection:
            if kind == "tls":
                ssl.create_default_context().wrap_socket(connection, server_hostname=host).close()
    except TimeoutError:
        return "no answer: packets are dropped on the way"
    except ssl.SSLError as error:
        return f"TLS: {error.reason or error}"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def main() -> None:
    """Arguments: what to look at, as JSON, and where the last word goes."""
    wish = json.loads(sys.argv[1])
    answer = json.dumps(look_around(wish["targets"], wish["paths"])).encode()
    with open(sys.argv[2], "wb") as file:  # noqa: PTH123
        file.write(answer[:BYTES_MAX])
    # Resolvers that hang keep their threads: not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
