"""The page's HTTP side: what is answered, what is refused and how, and that nothing of a visitor is kept."""
from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, List

import numpy as np
import pytest
import requests
import soundfile
from containers import encode, sweep

for package in ("flask", "waitress"):
    pytest.importorskip(package, reason="the page is optional, see .requirements-page.txt")

from common.errors import UserError  # noqa: E402
from common.page import app as app_module  # noqa: E402
from common.page import listening
from common.page.app import make_app, make_server  # noqa: E402
from common.page.engines import READY, Here, Timed  # noqa: E402
from common.page.state import Page  # noqa: E402
from common.training.trained import Trained  # noqa: E402
from common.verify.gallery import Threshold, changed, load_gallery  # noqa: E402

TRAINED = Trained("tdnn", ("Ada", "Bea", "<b>Cleo</b>"), "Caffe2, 3 epochs", "0123456789abcdef", "log", False)


class Engine:
    """Always says the same: Bea, with 67 %."""

    name, state, problem, trained = "ONNX Runtime", READY, "", TRAINED

    def __init__(self, name: str = name, rounding: float = 0.0) -> None:
        self.name, self.asked, self._rounding = name, 0, rounding

    def logits(self, spectrograms: np.ndarray) -> np.ndarray:
        self.asked += len(spectrograms)
        return np.tile(np.float32([1, 2 + self._rounding, 0.0]), (len(spectrograms), 1))

    def embeddings(self, spectrograms: np.ndarray) -> np.ndarray:
        """The mean spectrum: of the same sound the same."""
        return spectrograms.mean(axis=2)


def wav(seconds: float = 4.0, samples: Any = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sweep(16_000, seconds) if samples is None else samples, 16_000, format="WAV")
    return file.getvalue()


def client(*engines: Engine, **settings: Any) -> Any:
    return make_app(Page([Here(engine) for engine in engines or [Engine()]], TRAINED), **settings).test_client()


def ask(of: Any, data: bytes, name: str = "hello.wav", part: bool = True, **headers: str) -> Any:
    headers.update({"Part": "answer"} if part else {})
    return of.post("/", data={"recording": (io.BytesIO(data), name)}, headers=headers)


def text(response: Any) -> str:
    """As a person reads it."""
    return " ".join(re.sub(r"<[^>]*>", " ", response.get_data(as_text=True)).split())


def test_who_speaks_as_each_engine_says() -> None:
    engines = Engine("TensorFlow"), Engine("Caffe2", 1e-6), Engine("ONNX Runtime")
    answer = ask(client(*engines), wav(7.0))
    said = text(answer)
    assert answer.status_code == 200
    assert said.startswith("Of the 3 it was trained on: Bea, 67 % TensorFlow, Caffe2 and ONNX Runtime agree: "
                           "their logits differ by at most 9.5e-07")
    assert "speaker TensorFlow Caffe2 ONNX Runtime Bea 66.52 % 66.52 % 66.52 % Ada 24.47 %" in said
    assert re.search(r"time( \d+ ms){3}$", said) and "<!doctype" not in answer.get_data(as_text=True)
    assert [engine.asked for engine in engines] == [3, 3, 3]
    assert "&lt;b&gt;Cleo" in answer.get_data(as_text=True), "a name that is no markup"


def test_engines_that_do_not_agree_are_told() -> None:
    assert "Caffe2 and ONNX Runtime do not agree: their logits differ by up to 0.1" in \
        text(ask(client(Engine("Caffe2"), Engine(rounding=0.1)), wav()))


def test_a_browser_without_scripts_gets_the_whole_page() -> None:
    page = client()
    first, answer = page.get("/"), ask(page, wav(), part=False)
    assert first.status_code == 200
    assert "tdnn trained by Caffe2, 3 epochs: 3 voices; probabilities are not calibrated" in text(first)
    assert 'method="post"' in first.get_data(as_text=True) and "Bea, 67 %" in text(answer)
    assert answer.get_data(as_text=True).startswith("<!doctype html>")


def test_it_works_without_a_network() -> None:
    """Nothing is loaded from elsewhere, and what is loaded is there."""
    page = client()
    html = page.get("/").get_data(as_text=True)
    loaded = re.findall(r' (?:src|href|action)="([^"]*)"', html)
    assert len(loaded) >= 4 and all(page.get(path).status_code == 200 for path in loaded if path != "data:,")
    static = "".join(path.read_text() for path in Path(app_module.__file__).parent.glob("static/*"))
    assert "://" not in static and "@import" not in static and "url(" not in static


@pytest.mark.parametrize("container, codec", [("webm", "libopus"), ("ogg", "libopus"), ("m4a", "aac")])
def test_what_browsers_record_is_read(container: str, codec: str, tmp_path: Path) -> None:
    data = encode(tmp_path / f"x.{container}", codec)
    answer = ask(client(), data, "microphone")
    assert "Bea, 67 %" in text(answer)
    assert re.search(r"Spectrogram of microphone: [34]\.\d seconds", answer.get_data(as_text=True))


@pytest.mark.parametrize("data, name, told", [
    (b"", "hello.wav", "hello.wav: the file is empty"),
    (b"no sound at all", "a.txt", "a.txt: not a recording that soundfile or FFmpeg can read"),
    (wav(0.5), "short.wav", "short.wav: too short: 0.50 s of sound"),
    (wav(samples=np.zeros(64_000)), "silent.wav", "silent.wav: silent: nothing in it is louder than"),
    (wav(), "", "there is no recording: record one or choose a file"),
])
@pytest.mark.parametrize("part", [True, False])
def test_what_cannot_be_used_is_told_in_plain_words(data: bytes, name: str, told: str, part: bool) -> None:
    answer = ask(client(), data, name, part)
    assert answer.status_code == 400 and told in text(answer) and "/proc" not in text(answer)


def test_what_is_odd_is_remarked() -> None:
    clipped = np.clip(5 * sweep(16_000, 4.0), -1, 1)
    assert "clipped: " in text(ask(client(), wav(samples=clipped)))
    half = np.concatenate([sweep(16_000, 3.0), np.zeros(16_000 * 4)])
    assert "2 of its 3 pieces are silent and left out" in text(ask(client(), wav(samples=half)))


def test_size_and_length_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "MOST_SECONDS", 20)
    answer = ask(client(), wav(25.0), "long.wav")
    assert answer.status_code == 400 and "long.wav: too long: more than 20 s of sound; choose a part" in text(answer)
    answer = ask(client(), wav(samples=np.zeros(16_000 * 25)), "long.wav")
    assert "too long" in text(answer), "silence is no way round it"
    answer = ask(client(), bytes(listening.MOST_BYTES + 20_000))
    assert answer.status_code == 413 and "larger than 20 MB; choose a shorter one" in text(answer)


@pytest.mark.parametrize("host, allowed", [
    ("localhost", True), ("127.0.0.1:8000", True), ("[::1]:8000", True), ("localhost:1", True),
    ("evil.example", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example:8000", False), ("192.168.1.7", False),
    ("evil.example:8000@localhost", False), ("[::1", False), ("", False)])
def test_only_this_computers_own_names_are_answered(host: str, allowed: bool) -> None:
    """Another site's name may be made to lead here (DNS rebinding); its scripts could then read all."""
    for answer in (client().get("/", headers={"Host": host}), ask(client(), wav(), Host=host)):
        assert answer.status_code == (200 if allowed else 403)
        assert allowed or text(answer) == "this page answers only where it is called localhost"


def test_to_others_it_answers_where_it_was_told_to() -> None:
    assert client(own_names_only=False).get("/", headers={"Host": "studio.example:8000"}).status_code == 200


@pytest.mark.parametrize("origin, allowed", [("http://localhost", True), ("http://evil.example", False), ("null", False),
                                             ("http://localhost:81", False), ("http://[", False)])
def test_other_sites_cannot_post(origin: str, allowed: bool) -> None:
    engine = Engine()
    answer = ask(client(engine), wav(), Origin=origin)
    assert answer.status_code == (200 if allowed else 403) and bool(engine.asked) == allowed
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_headers_keep_other_things_out() -> None:
    for answer in (client().get("/"), client().get("/nothing"), client().get("/static/page.js")):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert answer.headers["Cache-Control"] == "no-store" and answer.headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_of_a_visitor_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a file, for however short a time, nor memory that looks like one."""
    made: List[str] = []
    for name in ("mkstemp", "mkdtemp", "TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile"):
        monkeypatch.setattr(tempfile, name, lambda *_, name=name, **__: made.append(name))
    with served(Page([Here(Engine())], TRAINED)) as address:
        for data, status in ((wav(), 200), (wav(60.0), 200), (wav(0.2), 400), (b"no sound", 400), (bytes(21 * 10**6), 413)):
            assert requests.post(address, files={"recording": ("x.wav", data)}, timeout=60).status_code == status
    assert made == [] and [name for name in open_files() if "memfd" in name or "recording" in name] == []


@contextlib.contextmanager
def served(page: Page) -> Iterator[str]:
    """The page at a port of this computer, as the command serves it; gives its address."""
    server, ended = make_server(page, "127.0.0.1", 0), threading.Event()

    def run() -> None:
        """As `server.run` does, which only a signal ends; waitress has no public name for what its loop goes over."""
        while not ended.is_set():
            server.asyncore.loop(timeout=0.1, map=server._map, count=1)
        server.task_dispatcher.shutdown()
        server.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}/"
    finally:
        ended.set()
        thread.join()


def open_files() -> List[str]:
    return [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.exists()]


def test_several_visitors_at_once_each_get_their_answer() -> None:
    """And an engine has one question at a time."""

    class Busy(Engine):
        now, most = 0, 0

        def logits(self, spectrograms: np.ndarray) -> np.ndarray:
            self.now += 1
            self.most = max(self.most, self.now)
            time.sleep(0.02)
            self.now -= 1
            return super().logits(spectrograms)

    busy = Busy()
    with served(Page([Here(busy), Here(Engine())], TRAINED)) as address, ThreadPoolExecutor(8) as visitors:
        def visit(number: int) -> str:
            return requests.post(address, files={"recording": (f"visitor-{number}.wav", wav(3.1 + number))}, timeout=60).text

        answers = list(visitors.map(visit, range(8)))
    assert all(f"visitor-{number}.wav: {number + 3}.1 seconds" in answer for number, answer in enumerate(answers))
    assert busy.most == 1


def test_an_engine_that_does_not_answer_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Here, *_: Any) -> Timed:
        raise UserError("its process ended")

    broken, sound = Here(Engine("Caffe2")), Here(Engine())
    monkeypatch.setattr(broken, "ask", refuse.__get__(broken))
    said = text(ask(make_app(Page([broken, sound], TRAINED)).test_client(), wav()))
    assert "Bea, 67 %" in said and "Bea – 66.52 %" in said and "time its process ended" in said
    answer = ask(make_app(Page([broken], TRAINED)).test_client(), wav())
    assert answer.status_code == 400 and "Caffe2 its process ended" in text(answer)


def test_a_defect_is_told_without_its_insides() -> None:
    engine = Engine()
    engine.logits = lambda spectrograms: 1 / 0
    answer = ask(client(engine), wav())
    assert answer.status_code == 500 and "something went wrong here that should not" in text(answer)
    assert "division" not in text(answer)


# Enrolled voices

def enroll(of: Any, voice: str, data: bytes) -> Any:
    return of.post("/enroll", data={"recording": (io.BytesIO(data), "x.wav"), "voice": voice}, headers={"Part": "answer"})


LOW, HIGH, NOISE = (wav(samples=samples) for samples in (
    sweep(16_000, 4.0), sweep(32_000, 8.0)[::4], np.random.default_rng(0).normal(0, 0.1, 64_000)))


def test_a_voice_is_enrolled_found_and_forgotten() -> None:
    page = client(Engine("Caffe2"), Engine())
    assert "Enrolled" not in text(ask(page, LOW))
    assert text(enroll(page, "Zoë", LOW)) == "Enrolled Zoë 1 recording forget"
    assert text(enroll(page, " Zoë ", LOW)) == "Enrolled Zoë 2 recordings forget"
    assert "Zoë 2 recordings" in text(enroll(page, "<i>", NOISE))
    said = text(ask(page, LOW))
    assert "Bea, 67 %" in said and "Of those enrolled: Zoë is closest, if it is one of them" in said
    assert re.search(r"voice Caffe2 ONNX Runtime Zoë 1\.000 1\.000 &lt;i&gt; 0\.\d{3} 0\.\d{3} ", said)
    forgotten = page.post("/forget", data={"voice": "Zoë"})
    assert "Zoë" not in text(forgotten) and "&lt;i&gt; 1 recording" in text(forgotten)
    assert "closest" in text(ask(page, LOW)) and page.post("/forget", data={"voice": "Zoë"}).status_code == 400


def test_another_recording_of_a_voice_changes_it() -> None:
    page = client()
    for data in (LOW, HIGH, HIGH):
        enroll(page, "Ada", data)
    scores = [float(re.search(r"Runtime Ada (\S+)", text(ask(page, data)))[1]) for data in (LOW, HIGH, NOISE)]
    assert scores[1] > scores[0] > scores[2]


@pytest.mark.parametrize("voice, told", [("", "is no name for a voice"), ("a\nb", "is no name for a voice"),
                                         ("x" * 101, "is no name for a voice")])
def test_a_name_has_to_be_one(voice: str, told: str) -> None:
    answer = enroll(client(), voice, LOW)
    assert answer.status_code == 400 and told in text(answer)


def test_what_cannot_be_used_is_not_enrolled() -> None:
    page = client()
    answer = enroll(page, "Ada", wav(0.3))
    assert answer.status_code == 400 and "too short" in text(answer) and "Ada" not in text(page.get("/"))


def test_a_gallery_is_kept_and_its_threshold_decides(tmp_path: Path) -> None:
    file = tmp_path / "voices.npz"
    page = make_app(Page([Here(Engine())], TRAINED, file)).test_client()
    enroll(page, "Ada", LOW)
    with changed(file, TRAINED) as gallery:  # as by another command
        gallery.threshold = Threshold(0.95, "here")
    assert "Of those enrolled: Ada Scores of the enrolled voices; from 0.950 on one is accepted" in text(ask(page, LOW))
    again = make_app(Page([Here(Engine())], TRAINED, file)).test_client()
    assert "Of those enrolled: Nobody; Ada is closest" in text(ask(again, NOISE))
    assert list(load_gallery(file, TRAINED).voices) == ["Ada"]
    with pytest.raises(UserError, match="another model"):
        Page([Here(Engine())], dataclasses.replace(TRAINED, parameters="fedcba9876543210"), file)


def test_visitors_who_enroll_at_once_lose_nothing(tmp_path: Path) -> None:
    for file in (None, tmp_path / "voices.npz"):
        page = Page([Here(Engine())], TRAINED, file)
        app = make_app(page)
        with ThreadPoolExecutor(8) as visitors:
            list(visitors.map(lambda number: enroll(app.test_client(), f"voice {number}", LOW), range(16)))
        assert sorted(page.gallery.voices) == sorted(f"voice {number}" for number in range(16))
