"""The page as a person uses it, in a browser without a window, with both frameworks and ONNX Runtime behind it."""
from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from commands import PROJECT, attended, command

from common.voices.synthetic import Corpus, default_corpus

for package in ("flask", "waitress", "selenium"):
    pytest.importorskip(package, reason="the page is optional, see .requirements-page.txt")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if BROWSER is None or DRIVER is None:
    pytest.skip("no chromium with its driver; on Debian: apt install chromium chromium-driver", allow_module_level=True)

from selenium.common.exceptions import TimeoutException  # noqa: E402
from selenium.webdriver import Chrome, ChromeOptions  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

MODELS = PROJECT / "results" / "models" / "synthetic"
SLOW = 200  # seconds: two frameworks start, and hold their networks against the reference, on a slow machine


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By voices that the model knows, in sessions that it does not."""
    return default_corpus(tmp_path_factory.mktemp("corpus"), Corpus(speakers=3, sessions=3, utterances=4)) / "recordings"


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's processes would put temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def page(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, in a process group of its own as a terminal gives it one."""
    words, variables = command("common.page", MODELS, "--port", 0, "--threads", 1), {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(words, cwd=PROJECT, env=variables, text=True, stdout=subprocess.PIPE,
                          start_new_session=True, preexec_fn=attended) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def browser(page: subprocess.Popen[str], recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Its microphone hears a recording of synthetic_01 again and again."""
    address = re.search(r"http://127\.0\.0\.1:\d+/", page.stdout.readline())[0]
    options = ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "use-fake-ui-for-media-stream",
                     "use-fake-device-for-media-stream", f"user-data-dir={tmp_path_factory.mktemp('profile')}",
                     f"use-file-for-fake-audio-capture={recordings / 'synthetic_01' / 'session_3' / '01.wav'}"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    driver.get(address)
    yield driver
    driver.quit()


def until(browser: Chrome, there: Callable[[str], Any], seconds: float = SLOW) -> str:
    """What the page says, pictures included, once it says so."""
    def look(_: Chrome) -> str:
        nonlocal said
        said = browser.execute_script(
            "return document.body.innerText + [...document.images].map("
            "image => '\\n' + image.alt + (image.naturalWidth > 500 ? '' : ' is not there')).join('')")
        return said if there(said) else ""

    said = ""
    try:
        return WebDriverWait(browser, seconds, 0.2).until(look)
    except TimeoutException:
        raise AssertionError(f"the page only says:\n{said}") from None


def choose(browser: Chrome, path: Path) -> None:
    browser.find_element(By.ID, "recording").send_keys(str(path))


def all_answered(said: str) -> bool:
    return "TensorFlow, Caffe2 and ONNX Runtime agree" in said


def test_a_person_chooses_a_recording(browser: Chrome, recordings: Path) -> None:
    """It is answered by whoever is ready, and by all once all are, without being asked again."""
    choose(browser, recordings / "synthetic_03" / "session_3" / "01.wav")
    until(browser, lambda said: "Probabilities of the likeliest" in said, 60)
    said = until(browser, all_answered)
    rows = re.findall(r"^(\w+)\s+(\d+\.\d\d %)\t(\d+\.\d\d %)\t(\d+\.\d\d %)$", said, re.MULTILINE)
    assert rows[0][0] == "synthetic_03" and len({row[0] for row in rows}) == 5
    assert "Of the 12 it was trained on:\nsynthetic_03, " in said and "12 SYNTHETIC voices; probabilities are calibrated" in said
    assert re.search(r"^time\s+\d+ ms\t\d+ ms\t\d+ ms$", said, re.MULTILINE)
    assert re.search(r"^Spectrogram of 01.wav: \d\.\d seconds$", said, re.MULTILINE)
    assert browser.find_element(By.ID, "player").is_displayed()


def test_a_person_speaks(browser: Chrome) -> None:
    button = browser.find_element(By.ID, "record")
    button.click()
    until(browser, lambda said: re.search(r"^4\.\d s$", said, re.MULTILINE), 30)
    assert button.text == "Stop"
    button.click()
    said = until(browser, lambda said: re.search(r"^Spectrogram of microphone: [345]\.\d seconds$", said, re.MULTILINE), 30)
    assert all_answered(said) and "\nsynthetic_01, " in said and button.text == "Record"


def test_a_person_enrolls_a_voice_and_has_it_forgotten(browser: Chrome, recordings: Path) -> None:
    for number in (1, 2):
        choose(browser, recordings / "synthetic_03" / "session_3" / f"0{number}.wav")
        until(browser, lambda said: f"of 0{number}.wav" in said and "asking" not in said, 30)
        browser.find_element(By.ID, "voice").send_keys("Zoë" + Keys.ENTER)
        until(browser, lambda said: f"Zoë {number} recording" in said, 30)
    choose(browser, recordings / "synthetic_03" / "session_3" / "03.wav")
    said = until(browser, lambda said: "Of those enrolled:\nZoë is closest" in said, 30)
    assert re.search(r"^Zoë\s+(0\.\d{3})\t\1\t\1$", said, re.MULTILINE), "the same score in all three"
    browser.find_element(By.CSS_SELECTOR, "#answer button").click()
    until(browser, lambda said: "Zoë" not in said, 30)


def test_what_is_no_recording_is_told(browser: Chrome) -> None:
    choose(browser, PROJECT / "README.md")
    assert until(browser, lambda said: "README.md: not a recording that soundfile or FFmpeg can read" in said, 30)


def test_a_framework_that_dies_comes_back(browser: Chrome, page: subprocess.Popen[str], recordings: Path) -> None:
    killed, = (pid for pid, words in children(page).items() if "caffe2_impl.worker" in words)
    os.kill(killed, signal.SIGKILL)
    choose(browser, recordings / "synthetic_03" / "session_3" / "02.wav")
    said = until(browser, lambda said: "its process ended; it is started again" in said, 30)
    assert "TensorFlow and ONNX Runtime agree" in said
    until(browser, all_answered)


def test_nothing_went_wrong_on_the_way(browser: Chrome, temporary: Path) -> None:
    severe = [entry["message"] for entry in browser.get_log("browser") if "400 (BAD REQUEST)" not in entry["message"]]
    assert severe == [] and list(temporary.iterdir()) == []


def test_ctrl_c_ends_everything(page: subprocess.Popen[str]) -> None:
    workers = children(page)
    assert len(workers) == 2
    os.killpg(page.pid, signal.SIGINT)
    assert page.wait(20) == 0
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []


def children(page: subprocess.Popen[str]) -> Dict[int, List[str]]:
    """The words that a process's children were started with."""
    pids = " ".join(file.read_text() for file in Path(f"/proc/{page.pid}/task").glob("*/children")).split()
    return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in pids}
