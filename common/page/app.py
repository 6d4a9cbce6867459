"""The page's web server: one form, and what comes of it.

    app = make_app(Page(engines, trained))
    app.test_client().post("/", data={"recording": (io.BytesIO(data), "hello.wav")})
    make_server(page, "127.0.0.1", 8000).run()

A browser with scripts asks for the part that changes alone (the header `Part`), one without gets the whole
page. Nothing is loaded from elsewhere, and other web sites cannot use the page: a request has to call this
computer by its own name and, if it changes anything, to come from this page.
"""
from __future__ import annotations

import io
from typing import IO, Any, Tuple
from urllib.parse import urlsplit

import waitress
from flask import Flask, Request, abort, render_template, request
from waitress.server import WSGIServer
from werkzeug.exceptions import HTTPException

from common.errors import UserError
from common.identify.speakers import about
from common.page.listening import MOST_BYTES, MOST_SECONDS
from common.page.state import Page

_OWN_NAMES = ("localhost", "127.0.0.1", "::1")
_VISITORS = 8  # whose recordings are read at once
_FORM_BYTES = 10**4  # what a form has beside the recording
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; media-src blob:; "
                               "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


class _InMemory(Request):
    """What is uploaded is written to no disk."""

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return io.BytesIO()


def make_app(page: Page, own_names_only: bool = True) -> Flask:
    """own_names_only: whether only this computer is to reach it, so that it is called by one of its own names."""
    app = Flask(__name__)
    app.request_class = _InMemory
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES + _FORM_BYTES

    _guard(app, own_names_only)
    _tell_failures(app, page)

    @app.get("/")
    def show() -> str:
        return _render(page)

    @app.get("/engines")
    def engines() -> str:
        return render_template("engines.html", page=page)

    @app.post("/")
    def identify() -> str:
        return _render(page, shown=page.identify(*_recording()))

    @app.post("/enroll")
    def enroll() -> str:
        page.enroll(request.form.get("voice", ""), *_recording())
        return _render(page)

    @app.post("/forget")
    def forget() -> str:
        page.forget(request.form.get("voice", ""))
        return _render(page)

    return app


def _guard(app: Flask, own_names_only: bool) -> None:
    """Whom it answers, and what browsers are told to keep from it."""

    @app.before_request
    def refuse_strangers() -> None:
        if own_names_only and urlsplit(f"//{request.host}").hostname not in _OWN_NAMES:
            abort(403, "this page answers only where it is called localhost")
        origin = request.headers.get("Origin")
        if request.method != "GET" and origin not in (None, f"{request.scheme}://{request.host}"):
            abort(403, "this did not come from the page itself")

    @app.after_request
    def protect(response: Any) -> Any:
        response.headers.update(_HEADERS)
        return response


def _tell_failures(app: Flask, page: Page) -> None:
    """In plain words, on the page itself."""

    @app.errorhandler(UserError)
    def refused(error: UserError) -> Tuple[str, int]:
        return _render(page, error=str(error)), 400

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Tuple[str, int]:
        if error.code == 403:
            return error.description, 403  # strangers are told nothing else
        told = {500: "something went wrong here that should not; the terminal shows what",
                413: f"this recording is larger than {MOST_BYTES // 10**6} MB; choose a shorter one, or one that is compressed"}
        return _render(page, error=told.get(error.code, error.description)), error.code


def make_server(page: Page, host: str, port: int, own_names_only: bool = True) -> WSGIServer:
    """The page at an address of this computer, to `run`; see `make_app`. Raises UserError where it cannot listen."""
    try:
        # What is larger than we take is read too, else it could not be refused in plain words; all of it in memory.
        return waitress.create_server(make_app(page, own_names_only), host=host, port=port, threads=_VISITORS, ident=None,
                                      inbuf_overflow=4 * MOST_BYTES, max_request_body_size=4 * MOST_BYTES)
    except OSError as error:
        raise UserError(f"cannot listen at {host}, port {port}: {error}; choose another --port or --host") from None


def _recording() -> Tuple[IO[bytes], str]:
    """The recording that came, and what it is called. Raises UserError if there is none."""
    file = request.files.get("recording")
    if file is None or not file.filename:
        raise UserError("there is no recording: record one or choose a file")
    return file.stream, file.filename


def _render(page: Page, **what: Any) -> str:
    template = "answer.html" if "Part" in request.headers else "page.html"
    return render_template(template, page=page, about=about(page.trained), most_bytes=MOST_BYTES,
                           most_seconds=MOST_SECONDS, **what)
