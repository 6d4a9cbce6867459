"use strict";
// Recording, dropping and listening again. Without scripts the form works as it stands.
const form = document.getElementById("ask");
const input = document.getElementById("recording");
const answer = document.getElementById("answer");
const state = document.getElementById("state");
const button = document.getElementById("record");
const voice = document.getElementById("voice");
const clock = document.getElementById("clock");
const mostBytes = Number(form.dataset.mostBytes);
const mostSeconds = Number(form.dataset.mostSeconds);
let recording = null; // the File that is asked about
let recorder = null;

async function send(where, what) {
  const body = new FormData();
  for (const [name, value] of Object.entries(what)) body.append(name, value);
  state.textContent = "asking …";
  form.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(where, { method: "POST", body, headers: { Part: "answer" } });
    answer.innerHTML = await response.text();
    state.textContent = "";
    if (response.ok && where !== form.action) voice.value = "";
  } catch (error) {
    state.textContent = "The page does not answer: was it ended in the terminal?";
  }
  form.removeAttribute("aria-busy");
  refresh();
}

function take(file) {
  const player = document.getElementById("player");
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(file);
  player.hidden = false;
  recording = file;
  ask(form.action);
}

function ask(where) {
  if (!recording) {
    state.textContent = "Record something or choose a recording first.";
  } else if (recording.size > mostBytes) {
    state.textContent = `This recording is larger than ${mostBytes / 1e6} MB; choose a shorter one, or one that is compressed.`;
  } else {
    send(where, { recording, voice: voice.value });
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(event.submitter ? event.submitter.formAction : form.action);
});
voice.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  document.getElementById("enroll").click();
});
// An enrolled voice is forgotten by a form of its own, which comes with the answer.
answer.addEventListener("submit", (event) => {
  event.preventDefault();
  send(event.target.action, { voice: event.submitter.value });
});
input.addEventListener("change", () => input.files.length && take(input.files[0]));

// A file may be dropped anywhere.
for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) {
    input.files = event.dataTransfer.files;
    take(input.files[0]);
  }
});

// The microphone, where the browser gives it.
async function record() {
  let stream;
  try {
    // As it sounds: what makes calls pleasant changes voices.
    stream = await navigator.mediaDevices.getUserMedia(
      { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  } catch (error) {
    state.textContent = `No microphone: ${error.message}. Allow it for this page, or choose a recording.`;
    return;
  }
  const pieces = [];
  const began = Date.now();
  const context = new AudioContext();
  const listener = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(listener);
  const samples = new Float32Array(listener.fftSize);
  const ticking = setInterval(() => {
    const seconds = (Date.now() - began) / 1000;
    listener.getFloatTimeDomainData(samples);
    document.getElementById("level").value = Math.max(...samples.map(Math.abs));
    clock.textContent = `${seconds.toFixed(1)} s` + (seconds < 3 ? ", go on speaking" : "");
    if (seconds > mostSeconds - 1) recorder.stop();
  }, 100);
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    clearInterval(ticking);
    context.close();
    stream.getTracks().forEach((track) => track.stop());
    document.getElementById("level").value = 0;
    button.textContent = "Record";
    recorder = null;
    input.value = "";
    take(new File(pieces, "microphone", { type: pieces[0].type }));
  };
  recorder.start();
  button.textContent = "Stop";
  state.textContent = "";
}

if (navigator.mediaDevices && window.MediaRecorder) {
  document.getElementById("microphone").hidden = false;
  button.addEventListener("click", () => (recorder ? recorder.stop() : record()));
}

// Which engines are ready, until all have started; what was asked before is then asked again.
const engines = document.getElementById("engines");

async function refresh() {
  const started = engines.querySelector(".starting");
  try {
    engines.innerHTML = await (await fetch("engines")).text();
  } catch (error) { /* the next question will tell */ }
  if (engines.querySelector(".starting")) setTimeout(refresh, 1000);
  else if (started && recording) ask(form.action);
}
if (engines.querySelector(".starting")) setTimeout(refresh, 1000);
