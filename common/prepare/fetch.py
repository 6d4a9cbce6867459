"""Download large files over connections that break: resumes, checks lengths, shows progress.

    python -m common.prepare --from-url https://example.org/voxceleb-abridged-{1..6}.bin \\
        https://example.org/voxceleb-abridged-classes.txt data/homework

The homework's own address no longer has its 9 GB; whoever has a copy can serve it anywhere. A file
has its name in the folder only when all of it is there and looks like what its name says: whole
records in .bin, speakers in classes.txt, no web page. Until then it is NAME.part, and the same command
goes on where it stopped, with NAME.part.json to tell whether the server still has that file; what is
refused is kept as NAME.refused.
"""
from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator, List, Optional
from urllib.parse import unquote, urlsplit

from common.errors import UserError
from common.prepare.download import Download, RemoteFile
from common.progress import BYTES, Progress

if TYPE_CHECKING:
    import requests

CHUNK_BYTES = 2**18
CONNECT_SECONDS, SILENCE_SECONDS = 10.0, 30.0
MAX_FAILURES = 5  # in a row, none of which got further than any before
PAUSE_SECONDS = 1.0  # after the first of them; it doubles with each
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_GONE = (403, 404, 410)  # 403: what S3 says of a file that is not there

OnBytes = Callable[[int, Optional[int]], None]  # bytes there, bytes in all if the server says


class _Interrupted(Exception):
    """The connection failed, or its answer does not fit: worth another attempt."""


def fetch(url: str, folder: Path, progress: OnBytes = lambda there, total: None) -> Path:
    """Download `url` into `folder`, or the rest of it; returns the file. Raises UserError."""
    target = folder / file_name(url)
    if target.exists():
        _check(target, target.name, "delete it to download it again")
        return target
    with Download.opened(target, url) as download:
        failures, furthest = 0, download.size
        while True:
            try:
                _attempt(download, progress)
                return _accepted(download, target.name)
            except _Interrupted as error:
                failures = 1 if download.size > furthest else failures + 1
                furthest = max(furthest, download.size)
                if failures >= MAX_FAILURES:
                    raise UserError(f"{url}: {error}. {download.size} bytes are kept in {download.path}: the same "
                                    "command goes on from there") from error
                time.sleep(PAUSE_SECONDS * 2 ** (failures - 1))


def file_name(url: str) -> str:
    """The last part of the address, if it can name a file in a folder. Raises UserError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UserError(f"{url}: not an address of the web; it must begin with http:// or https://")
    name = unquote(parts.path.rsplit("/", 1)[-1])
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable() or len(name) > 200:
        raise UserError(f"{url}: the address does not end with the name of a file")
    return name


def _attempt(download: Download, progress: OnBytes) -> None:
    """One request for what is missing. Returns once all is there.

    Raises _Interrupted where another attempt may do better, UserError where it will not.
    """
    begin = download.resumable
    if begin and begin == download.source.length:
        return
    with _request(download.source, begin) as response:
        _refuse_failures(response, download.source.url)
        if response.status_code == 200:  # from the first byte, whatever was asked for
            download.start(_source(response, download.source.url))
        elif not begin or not _continues(response, download.source, begin):
            download.start(RemoteFile(download.source.url))
            raise _Interrupted(f"the server answers {response.status_code} {response.reason}, which does not continue "
                               "what is here")
        _receive(response, download, progress)


@contextlib.contextmanager
def _request(source: RemoteFile, begin: int) -> Iterator[requests.Response]:
    """An open response to a request for the bytes from `begin` on."""
    import requests

    headers = {"Accept-Encoding": "identity"}  # the bytes of the file itself, so that they can be counted
    if begin:
        headers["Range"] = f"bytes={begin}-"
        if source.validator:
            headers["If-Range"] = source.validator
    try:
        with requests.get(source.url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, SILENCE_SECONDS)) as answer:
            yield answer
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Interrupted(f"the connection failed: {_reason(error)}") from error
    except requests.RequestException as error:
        raise UserError(f"{source.url}: {_reason(error)}") from error


def _refuse_failures(response: requests.Response, url: str) -> None:
    status = f"{response.status_code} {response.reason}"
    if response.status_code in _GONE:
        raise UserError(f"{url}: the server does not have this file, or no longer ({status}). Ask for another "
                        "address, or make records from recordings: python -m common.prepare")
    if response.status_code >= 500 or response.status_code == 429:
        raise _Interrupted(f"the server answers {status}")
    if response.status_code not in (200, 206, 416):
        raise UserError(f"{url}: the server answers {status}, which is no file")
    page = response.status_code == 200 and response.headers.get("Content-Type", "").startswith("text/html")
    if page and not file_name(url).endswith((".html", ".htm")):
        raise UserError(f"{url}: the server sends a web page in place of the file; open the address in a browser")


def _source(response: requests.Response, url: str) -> RemoteFile:
    """What the head of a full answer says of the file."""
    length = response.headers.get("Content-Length", "")
    tag = response.headers.get("ETag", "")
    if not tag or tag.startswith("W/"):  # a weak one does not promise equal bytes
        tag = response.headers.get("Last-Modified", "")
    return RemoteFile(url, int(length) if length.isdigit() else None, tag or None)


def _continues(response: requests.Response, source: RemoteFile, begin: int) -> bool:
    """Whether a partial answer holds the rest of the same file, from `begin` on."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code != 206 or not found or source.length is None:
        return False
    return tuple(map(int, found.groups())) == (begin, source.length - 1, source.length)


def _receive(response: requests.Response, download: Download, progress: OnBytes) -> None:
    """Append the body. Raises _Interrupted if it ends before, or goes beyond, the length that was announced."""
    import urllib3

    length = download.source.length
    progress(download.size, length)
    try:
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            download.append(chunk)
            progress(download.size, length)
    except (urllib3.exceptions.HTTPError, ConnectionError) as error:
        raise _Interrupted(f"the connection failed: {_reason(error)}") from error
    if length is not None and download.size != length:
        raise _Interrupted(f"{download.size} bytes came in place of {length}")


def _reason(error: Exception) -> str:
    """The innermost reason, without the addresses of objects that urllib3 puts in."""
    inner = error.args[0] if error.args else error
    return re.sub(r"<[^>]*>[:,]? ?", "", str(getattr(inner, "reason", inner))) or type(error).__name__


def _accepted(download: Download, name: str) -> Path:
    """The file under its name, if it is what that says. Raises UserError."""
    try:
        _check(download.path, name, "")
    except UserError as error:
        kept = download.refuse()
        raise UserError(f"{error}. What came is kept as {kept}; the same command downloads it again") from None
    return download.complete()


def _check(path: Path, name: str, hint: str) -> None:
    """Raise UserError if the file at `path` is not what a file of that name should hold."""
    from common.data.classes import read_classes
    from common.data.records import RecordSet
    from common.data.values import HINT_BYTES, foreign_hint

    with open(path, "rb") as file:
        head = foreign_hint(file.read(HINT_BYTES))
    try:
        if name.endswith(".bin"):
            RecordSet.open([path])
        elif name.endswith("classes.txt"):
            read_classes(path)
        elif "web page" in head and not name.endswith((".html", ".htm", ".xml")):
            raise UserError(f"{path}: {head}")
    except UserError as error:
        raise UserError(f"{error}; {hint}" if hint else str(error)) from None


def fetch_all(urls: List[str], folder: Path) -> List[Path]:
    """Download one after the other, with a progress bar on stderr. Raises UserError."""
    names = [file_name(url) for url in urls]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"two of the addresses end with {twice}; they would be one file")
    with Progress(BYTES) as bar:
        return [fetch(url, folder, lambda there, total, name=name: bar.show(name, there, total))
                for name, url in zip(names, urls)]
