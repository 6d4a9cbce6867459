"""Downloads from a server on the loopback address that cuts connections, answers ranges wrongly, or ends short."""
from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import numpy as np
import pytest
from commands import PROJECT

from common.data.records import RecordWriter
from common.errors import UserError
from common.prepare import fetch as fetch_module
from common.prepare.__main__ import main
from common.prepare.fetch import fetch, file_name

CONTENT = np.random.default_rng(0).bytes(1_000_000)


@dataclass
class Behaviour:
    """How the server treats the next requests: a new one for every test."""

    content: bytes = CONTENT
    tag: Optional[str] = '"one"'
    date: Optional[str] = None
    ranges: str = "right"  # right, ignored, shifted, other total, no header, refused
    cuts: List[int] = field(default_factory=list)  # bytes after which a connection is cut, one a request
    short: int = 0  # bytes that are missing though the connection ends in good order
    announce: bool = True  # a Content-Length
    status: List[int] = field(default_factory=list)  # of the next requests, then 200
    headers: Dict[str, str] = field(default_factory=dict)
    seen: List[Tuple[Optional[str], Optional[str]]] = field(default_factory=list)  # Range, If-Range of each request


class Handler(BaseHTTPRequestHandler):
    behaviour = Behaviour()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        how = self.behaviour
        how.seen.append((self.headers["Range"], self.headers["If-Range"]))
        if how.status:
            status = how.status.pop(0)
            if status != 200:
                self.send_error(status)
                return
        begin = self._begin()
        if begin is None:
            return
        body = how.content[begin:len(how.content) - how.short]
        cut = how.cuts.pop(0) if how.cuts else len(body)
        self.wfile.write(body[:cut])
        self.close_connection = True

    def _begin(self) -> Optional[int]:
        """Send the head; returns the first byte of the body, None if there is to be none."""
        how = self.behaviour
        total = len(how.content)
        wanted = self.headers["Range"] is not None and self.headers["If-Range"] in (None, how.tag, how.date)
        begin = int(self.headers["Range"][6:-1]) if wanted and how.ranges != "ignored" else 0
        if begin and how.ranges == "refused":
            self.send_error(416)
            return None
        if begin and how.ranges == "shifted":
            begin -= 1000
        self.send_response(206 if begin else 200)
        if begin and how.ranges != "no header":
            shown = total + 5 if how.ranges == "other total" else total
            self.send_header("Content-Range", f"bytes {begin}-{shown - 1}/{shown}")
        for name, value in (("ETag", how.tag), ("Last-Modified", how.date),
                            ("Content-Length", str(total - begin) if how.announce else None), *how.headers.items()):
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        return begin


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that gives up is no news here."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tuple[str, Behaviour]]:
    """Address of a file on a new server, and how it behaves."""
    monkeypatch.setattr(fetch_module, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(fetch_module, "SILENCE_SECONDS", 2.0)
    monkeypatch.setenv("NO_PROXY", "*")
    behaviour = Behaviour()
    handler = type("OneTestsHandler", (Handler,), {"behaviour": behaviour})
    with Server(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/some/file.dat", behaviour
        running.shutdown()
        thread.join()


def is_whole(path: Path, content: bytes = CONTENT) -> bool:
    return path.read_bytes() == content and [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_file(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    reports = []
    path = fetch(url, tmp_path / "new", lambda there, total: reports.append((there, total)))
    assert path == tmp_path / "new" / "file.dat" and is_whole(path)
    assert reports[0] == (0, 1_000_000) and reports[-1] == (1_000_000, 1_000_000)
    assert fetch(url, tmp_path / "new") == path and len(how.seen) == 1  # what is there is not asked for again


def test_cut_connections_are_resumed(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.cuts = [100_000, 0, 250_000, 1]
    assert is_whole(fetch(url, tmp_path))
    assert how.seen == [(None, None), ("bytes=100000-", '"one"'), ("bytes=100000-", '"one"'),
                        ("bytes=350000-", '"one"'), ("bytes=350001-", '"one"')]


def test_a_second_start_goes_on(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.cuts = [400_000] + [0] * 5
    with pytest.raises(UserError, match="400000 bytes are kept.*the same command goes on"):
        fetch(url, tmp_path)
    assert (tmp_path / "file.dat.part").read_bytes() == CONTENT[:400_000] and not (tmp_path / "file.dat").exists()
    how.cuts, how.seen = [], []
    assert is_whole(fetch(url, tmp_path))
    assert how.seen == [("bytes=400000-", '"one"')]


@pytest.mark.parametrize("ranges", ["ignored", "shifted", "other total", "no header", "refused"])
def test_wrong_answers_to_ranges_start_over(server: Tuple[str, Behaviour], tmp_path: Path, ranges: str) -> None:
    url, how = server
    how.cuts, how.ranges = [300_000], ranges
    assert is_whole(fetch(url, tmp_path))


def test_ranges_that_are_ignored_and_cuts_come_to_an_end(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.cuts, how.ranges = [300_000] * 100, "ignored"
    with pytest.raises(UserError, match="connection failed"):
        fetch(url, tmp_path)
    assert len(how.seen) < 10


@pytest.mark.parametrize("tag, date", [('"two"', None), (None, "Tue, 02 Jan 2024 00:00:00 GMT"), ('W/"1"', None),
                                       (None, None)])
def test_another_file_at_the_same_address(server: Tuple[str, Behaviour], tmp_path: Path, tag: Optional[str],
                                          date: Optional[str]) -> None:
    url, how = server
    how.cuts = [200_000] + [0] * 5
    with pytest.raises(UserError):
        fetch(url, tmp_path)
    how.content, how.tag, how.date, how.cuts = CONTENT[::-1][:900_000], tag, date, []
    assert is_whole(fetch(url, tmp_path), how.content)


def test_the_date_serves_where_no_strong_tag_is(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.tag, how.date, how.cuts = 'W/"1"', "Mon, 01 Jan 2024 00:00:00 GMT", [200_000]
    assert is_whole(fetch(url, tmp_path))
    assert how.seen[1] == ("bytes=200000-", how.date)


def test_a_body_that_ends_short_every_time(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.short = 10
    with pytest.raises(UserError, match="999990 bytes are kept"):
        fetch(url, tmp_path)
    assert not (tmp_path / "file.dat").exists()


def test_without_a_length_it_starts_over(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.announce = False
    assert is_whole(fetch(url, tmp_path))
    (tmp_path / "file.dat").rename(tmp_path / "file.dat.part")  # as an interrupted run would leave it
    assert is_whole(fetch(url, tmp_path)) and how.seen[1] == (None, None)


def test_bytes_are_not_decoded(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.headers = {"Content-Encoding": "gzip"}  # as some servers say of every .tar.gz
    assert is_whole(fetch(url, tmp_path))


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_gone(server: Tuple[str, Behaviour], tmp_path: Path, status: int) -> None:
    url, how = server
    how.status = [status]
    with pytest.raises(UserError, match=f"no longer.*{status}.*common.prepare"):
        fetch(url, tmp_path)
    assert len(how.seen) == 1


def test_a_server_out_of_order_for_a_while(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.status = [503, 500, 429]
    assert is_whole(fetch(url, tmp_path))
    (tmp_path / "file.dat").unlink()
    how.status = [503] * 10
    with pytest.raises(UserError, match="503"):
        fetch(url, tmp_path)


def test_a_web_page_in_place_of_the_file(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(UserError, match="web page"):
        fetch(url, tmp_path)


def test_no_server_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "PAUSE_SECONDS", 0.01)
    with pytest.raises(UserError, match="connection failed: .*refused") as caught:
        fetch("http://127.0.0.1:9/file.dat", tmp_path)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"url": 1}', '{"url": "U", "length": "x", "validator": null}',
                                   '{"url": "U", "length": 5, "validator": null}', '{"url": "elsewhere", "length": 9}'])
def test_a_damaged_state_starts_over(server: Tuple[str, Behaviour], tmp_path: Path, state: str) -> None:
    url, how = server
    (tmp_path / "file.dat.part").write_bytes(b"something else")
    (tmp_path / "file.dat.part.json").write_text(state.replace("U", url))
    assert is_whole(fetch(url, tmp_path)) and how.seen == [(None, None)]


def test_a_length_of_true_is_not_one_byte(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    (tmp_path / "file.dat.part").write_bytes(b"x")
    (tmp_path / "file.dat.part.json").write_text(f'{{"url": "{url}", "length": true, "validator": null}}')
    assert is_whole(fetch(url, tmp_path)) and how.seen == [(None, None)]


def test_killed_after_the_last_byte(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    how.cuts = [400_000] + [0] * 5
    with pytest.raises(UserError):
        fetch(url, tmp_path)
    (tmp_path / "file.dat.part").write_bytes(CONTENT)
    how.seen.clear()
    assert is_whole(fetch(url, tmp_path)) and how.seen == []


@pytest.mark.parametrize("url, message", [
    ("ftp://host/a.bin", "http://"), ("/etc/passwd", "http://"), ("http:///a.bin", "http://"),
    ("http://host/", "name of a file"), ("http://host", "name of a file"), ("http://host/%2e%2e", "name of a file"),
    ("http://host/..%2fa.bin", "name of a file"), ("http://host/.bashrc", "name of a file"),
    ("http://host/a%00.bin", "name of a file"),
])
def test_addresses_that_cannot_be(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        file_name(url)


def test_names_of_files() -> None:
    assert file_name("https://host/a/voxceleb-abridged-1.bin?key=1/2#x") == "voxceleb-abridged-1.bin"
    assert file_name("https://host/some%20file.txt") == "some file.txt"


def test_the_command(server: Tuple[str, Behaviour], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    url, how = server
    assert main(["--from-url", url, url.replace("file.dat", "other.txt"), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.count("1000000 bytes") == 2
    assert main(["--from-url", url, url + "?again", str(tmp_path / "twice")]) == 2
    assert "file.dat" in capsys.readouterr().err


def test_from_url_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--from-url", "http://localhost/a.bin", str(tmp_path / "out"), "--copies", "2"]) == 2
    assert "--copies cannot be used" in capsys.readouterr().err
    assert main(["http://localhost/a.bin", "http://localhost/b.bin", str(tmp_path / "out")]) == 2
    assert "only --from-url takes more than one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_record_files_are_checked(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server
    with RecordWriter(tmp_path / "made.bin") as writer:
        writer.append(np.ones((512, 300), np.float32), 3)
    how.content = (tmp_path / "made.bin").read_bytes()
    assert main(["--from-url", url.replace("file.dat", "part-1.bin"), str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("name, content, named", [
    ("part-2.bin", CONTENT, "truncated tail"), ("part-2.bin", b"<html>Please log in</html>", "looks like a web page"),
    ("part-1.sessions.csv", b"\n <!DOCTYPE html>", "looks like a web page"), ("classes.txt", b"{'error': 1}", "line 1"),
], ids=["cut", "login page", "page with spaces", "no classes"])
def test_what_is_not_what_its_name_says_does_not_get_it(server: Tuple[str, Behaviour], tmp_path: Path, name: str,
                                                        content: bytes, named: str) -> None:
    url, how = server
    how.content = content
    with pytest.raises(UserError, match=f"{name}.*{named}.*kept as .*{name}.refused; the same command downloads it again"):
        fetch(url.replace("file.dat", name), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.refused"]
    assert (tmp_path / f"{name}.refused").read_bytes() == content
    how.content, requests = b"0 Ada\n" if name == "classes.txt" else np.zeros(153_601, "<f4").tobytes(), len(how.seen)
    assert fetch(url.replace("file.dat", name), tmp_path).read_bytes() == how.content and len(how.seen) == requests + 1


def test_what_is_there_already_is_checked_too(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    (tmp_path / "part-1.bin").write_text("<html>")
    with pytest.raises(UserError, match="part-1.bin.*web page.*delete it to download it again"):
        fetch(server[0].replace("file.dat", "part-1.bin"), tmp_path)


def test_a_full_disk(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, how = server

    def limit() -> None:  # stands for the disk: no file may grow beyond this
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    ended = subprocess.run([sys.executable, "-m", "common.prepare", "--from-url", url, str(tmp_path)], text=True,
                           preexec_fn=limit, capture_output=True, cwd=PROJECT)
    assert ended.returncode == 2 and "cannot write after 300000 bytes" in ended.stderr
    assert is_whole(fetch(url, tmp_path)) and how.seen[-1] == ("bytes=300000-", '"one"')


def test_two_at_once(server: Tuple[str, Behaviour], tmp_path: Path) -> None:
    url, _ = server
    with fetch_module.Download.opened(tmp_path / "file.dat", url):
        with pytest.raises(UserError, match="another process"):
            fetch(url, tmp_path)
