"""The byte patterns of HTTP/1.1 that both codecs check, each with its rule.

Stricter than the RFCs wherever two parsers in the wild differ (contract, section 1: one reading
only). Patterns are for `fullmatch` unless a comment says otherwise.
"""

import functools
import ipaddress
import re
from typing import Final

__all__ = [
    "ABSOLUTE_TARGET",
    "CHUNK_LINE",
    "CHUNK_LINE_BEGUN",
    "CONTENT_LENGTH",
    "CONTROLS",
    "FIELD_LINE",
    "PLAIN_CHUNK_LINE",
    "REQUEST_LINE",
    "STATUS_LINE",
    "TOKEN",
    "TRANSFER_ENCODING_CHUNKED",
    "is_authority",
    "is_safe_path",
]

_TCHAR: Final = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"

#: RFC 9110 §5.6.2.
TOKEN: Final = re.compile(rb"[" + _TCHAR + rb"]+")

#: RFC 9112 §3, single spaces only. The target may hold visible ASCII except `#` (a fragment is
#: never sent) and `\` (some parsers read it as `/`). Use `match`: the fields follow.
REQUEST_LINE: Final = re.compile(
    rb"([" + _TCHAR + rb"]+) ([!\"$-\[\]-~]+) HTTP/([0-9])\.([0-9])\r\n"
)

#: RFC 9112 §4. The space after the status may be missing with the phrase: many send it so. Use
#: `match`: the fields follow.
STATUS_LINE: Final = re.compile(
    rb"HTTP/([0-9])\.([0-9]) ([1-9][0-9]{2})(?: [\t -~\x80-\xff]*)?\r\n"
)

#: RFC 9112 §5 without obs-fold; any control but HTAB refused. Matches one line without its CRLF.
FIELD_LINE: Final = re.compile(
    rb"([" + _TCHAR + rb"]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)", re.DOTALL
)

#: RFC 9112 §3.2.2 for the schemes that we serve: authority, then path and query.
ABSOLUTE_TARGET: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]+)((?:[/?].*)?)")

#: For `bytes.translate`: the octets that no head may hold, CR and LF (counted apart) left out.
CONTROLS: Final = bytes(code for code in (*range(32), 127) if code not in b"\t\r\n")

#: RFC 9110 §8.6, limited to what fits a signed 64-bit number in every parser behind us.
CONTENT_LENGTH: Final = re.compile(rb"[0-9]{1,18}")

#: The only Transfer-Encoding line that is understood, looked for in the raw head because parsers
#: trim odd white space away that others read differently. Use `search`.
TRANSFER_ENCODING_CHUNKED: Final = re.compile(
    rb"\r\n[Tt][Rr][Aa][Nn][Ss][Ff][Ee][Rr]-[Ee][Nn][Cc][Oo][Dd][Ii][Nn][Gg]: ?"
    rb"[Cc][Hh][Uu][Nn][Kk][Ee][Dd]\r\n"
)

_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENSION: Final = rb";[" + _TCHAR + rb"]+(?:=(?:[" + _TCHAR + rb"]+|" + _QUOTED + rb"))?"

#: RFC 9112 §7.1 without the white space that it calls bad. Matches one line without its CRLF.
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})((?:" + _EXTENSION + rb")*)")

#: The chunk line that nearly all senders write. Use `match`: its data follows.
PLAIN_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")

#: What an unfinished chunk line may look like so far.
CHUNK_LINE_BEGUN: Final = re.compile(
    rb"[0-9A-Fa-f]{0,16}|[0-9A-Fa-f]{1,16}(?:;[\t -~\x80-\xff]*)?\r?"
)

#: RFC 9110 §7.2 and RFC 3986 §3.2 without userinfo, and without the comma that a list of two
#: Hosts would need.
_AUTHORITY: Final = re.compile(
    rb"(?:(\[[0-9A-Fa-f:.]+\])|[A-Za-z0-9\-._~!$&'()*+;=%]+)(?::([0-9]{0,5}))?"
)
#: What may be percent-encoded in a host: what needs no encoding (RFC 3986 §2.3), and octets that
#: are not ASCII. Encoded controls, spaces and delimiters make another host to whoever decodes.
_BAD_PERCENT: Final = re.compile(
    rb"%(?!2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee]|[89A-Fa-f][0-9A-Fa-f])"
)

#: Path content that some parser decodes or normalises into another path (item 36).
_UNSAFE_PATH: Final = re.compile(
    rb"%(?:00|0[AaDd]|5[Cc]|(?![0-9A-Fa-f]{2}))"
    # ASCII in two octets: no UTF-8, but lax decoders made dots and slashes of it.
    rb"|%[Cc][01]%[89ABab][0-9A-Fa-f]"
    # A segment of one or two dots, plain or encoded, with or without a `;parameter`.
    rb"|(?:^|/|%2[Ff])(?:\.|%2[Ee]){1,2}(?=$|/|;|%2[Ff]|%3[Bb])"
)


# Clients name few hosts; bounded, so that a hostile one costs at most this many short strings.
@functools.lru_cache(maxsize=64)
def is_authority(value: bytes) -> bool:
    """Whether `value` is `host[:port]` by grammar: no userinfo, path, list or empty host."""
    matched = _AUTHORITY.fullmatch(value)
    if matched is None:
        return False
    literal, port = matched.groups()
    if port and int(port) > 65535:
        return False
    if literal:
        return _is_ipv6(literal[1:-1])
    return b"%" not in value or _BAD_PERCENT.search(value) is None


def is_safe_path(target: bytes) -> bool:
    """Whether an origin-form target's path means the same to every parser (item 36).

    The query is left alone: nothing is routed by it, and text in it may hold anything encoded.
    """
    path = target.partition(b"?")[0]
    return _UNSAFE_PATH.search(path) is None


def _is_ipv6(text: bytes) -> bool:
    try:
        ipaddress.IPv6Address(text.decode("ascii"))
    except ValueError:
        return False
    return True
