"""Images from the web: https alone, of a bounded size, read when they are asked for and never kept."""

from __future__ import annotations

import http.client
import mimetypes
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from foveate.disk import write_atomically
from foveate.errors import DataError
from foveate.version import __version__

SCHEMES = frozenset({"https"})
MAX_BYTES = 64 * 2**20
TIMEOUT = 30  # seconds without an answer
_CHUNK = 1 << 16
_KEPT = "%/:=&?~#+!$,;'@()*[]"  # marks of an address, which are not escaped


def fetch(url: str) -> tuple[bytes, str]:
    """(content, ending that its type says, '' if none) of a URL.

    No more than MAX_BYTES are read. Raises DataError for another scheme than https, also where a server leads there,
    for more than MAX_BYTES, and for what cannot be downloaded whole.
    """
    _require_scheme(url, url)
    asked = urllib.parse.quote(url, safe=_KEPT)  # a blank or an accent, as a person types it
    request = urllib.request.Request(asked, headers={"User-Agent": f"foveate/{__version__}"})
    try:
        with urllib.request.build_opener(_Careful).open(request, timeout=TIMEOUT) as answer:
            stated = answer.headers.get("Content-Length", "")
            if stated.isdecimal() and int(stated) > MAX_BYTES:
                raise _too_large(url)
            parts, count = [], 0
            while part := answer.read(_CHUNK):
                parts.append(part)
                count += len(part)
                if count > MAX_BYTES:
                    raise _too_large(url)
            if stated.isdecimal() and count < int(stated):
                raise ValueError(f"it ends after {count:,} of {int(stated):,} bytes")
            kind = answer.headers.get_content_type()
    except urllib.error.HTTPError as error:
        raise DataError(f"{url}: the server answers {error.code} ({error.reason}); check the address") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        reason = getattr(reason, "strerror", None) or reason  # without its number
        raise DataError(
            f"{url} cannot be downloaded ({reason}); check the network, or download it and give the file"
        ) from error
    return b"".join(parts), mimetypes.guess_extension(kind) or ""


def download(url: str, folder: Path, endings: frozenset[str]) -> Path:
    """Save what a URL holds under its own name in a folder, and return the file.

    endings: of the files that are wanted; where the address has none of them, the type that the server states decides.
    Raises DataError as `fetch` does, and for content of another type.
    """
    content, kind = fetch(url)
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name or "picture"
    ending = Path(name).suffix.lower()
    if ending not in endings:
        if kind not in endings:
            raise DataError(f"{url}: holds {kind or 'something else'}; expected one of {', '.join(sorted(endings))}")
        name += kind
    path = folder / re.sub(r"[^\w.-]", "_", name)
    write_atomically(path, content)
    return path


class _Careful(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to an address of an allowed scheme."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """See `urllib.request.HTTPRedirectHandler`."""
        _require_scheme(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_scheme(url: str, asked: str) -> None:
    scheme = urllib.parse.urlsplit(url).scheme.lower()
    if scheme not in SCHEMES:
        leads = "" if url == asked else f"leads to {url}, and "
        raise DataError(f"{asked}: {leads}{scheme}:// is not read; give an address of https, or a file")


def _too_large(url: str) -> DataError:
    return DataError(f"{url}: more than {MAX_BYTES // 2**20} MB; download it and give the file")
