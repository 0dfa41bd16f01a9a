"use strict";

const $ = (id) => document.getElementById(id);
const controls = $("controls");
const field = (name) => controls.elements[name];
const tab = Math.random().toString(36).slice(2);
const corner = { row: 0, column: 0 };
let offer;
let turn = 0;
let size = { width: 0, height: 0 };

/** Sliders run from 0 to 1000; a logarithmic one multiplies by equal factors. */
const toValue = (control, place) => {
  const share = place / 1000;
  const value = control.logarithmic
    ? control.low * (control.high / control.low) ** share
    : control.low + (control.high - control.low) * share;
  return control.whole ? Math.round(value) : Number(value.toPrecision(3));
};
const toPlace = (control, value) => 1000 * (control.logarithmic
  ? Math.log(value / control.low) / Math.log(control.high / control.low)
  : (value - control.low) / (control.high - control.low));

const method = () => offer.methods[field("method").selectedIndex];

/** A slider left alone keeps its exact default, which its steps may not hit. */
const values = () => Object.fromEntries([...$("parameters").querySelectorAll("[name]")].map(
  (one) => [one.name, one.dataset.value ?? one.value]));

function showParameters() {
  $("parameters").replaceChildren(...method().controls.map((control) => {
    const label = document.createElement("label");
    const line = document.createElement("span");
    line.textContent = control.name;
    label.append(line);
    if (control.choices.length) {
      const list = document.createElement("select");
      list.name = control.name;
      list.append(...control.choices.map((word) => new Option(word, word)));
      list.value = control.default;
      label.append(list);
      return label;
    }
    const slider = document.createElement("input");
    const shown = document.createElement("output");
    Object.assign(slider, { type: "range", min: 0, max: 1000, step: 1, name: control.name });
    slider.value = toPlace(control, control.default);
    slider.dataset.value = shown.value = control.default;
    slider.addEventListener("input", () => {
      slider.dataset.value = shown.value = toValue(control, Number(slider.value));
    });
    line.append(shown);
    label.append(slider);
    return label;
  }));
}

/** A line ends between words, not after the hyphens of an option. */
function showCommand(text) {
  const words = text.split(" ").map((word) => {
    const span = document.createElement("span");
    span.textContent = word;
    return span;
  });
  $("command").replaceChildren(...words.flatMap((word) => [" ", word]).slice(1));
}

function say(error) {
  $("error").hidden = !error;
  $("error").textContent = error;
}

const GONE = "The preview's server has stopped. Start the command again and open its new address.";

/** Ask the server; an error becomes a sentence on the page. */
async function ask(name, parameters = {}) {
  const response = await fetch(`${name}?${new URLSearchParams(parameters)}`).catch(() => null);
  if (!response) throw new Error(GONE);
  if (response.status === 409) return null;
  if (!response.ok) throw new Error((await response.text()).trim());
  return response;
}

async function show(image, response) {
  const old = image.src;
  image.src = URL.createObjectURL(await response.blob());
  await image.decode();
  if (old) URL.revokeObjectURL(old);
}

const place = () => ({
  photograph: field("photograph").selectedIndex,
  view: field("view").value,
  ...(field("view").value === "crop" ? corner : {}),
});

const bytes = (hex) => new Uint8Array((hex.match(/../g) ?? []).map((one) => parseInt(one, 16)));

async function update(withOriginal) {
  const mine = ++turn;
  $("frame").classList.add("waiting");
  try {
    if (withOriginal) {
      const response = await ask("photograph", place());
      if (mine !== turn) return;
      const [width, height] = response.headers.get("X-Size").split(" ").map(Number);
      const scale = Number(response.headers.get("X-Scale"));
      size = { width, height };
      await show($("before"), response);
      const smaller = `${width} x ${height} pixels, shown ${Math.round(1 / scale * 10) / 10} times `
        + "smaller: judge fine texture in the crop.";
      const part = `${width} x ${height} pixels. Hold Shift and drag to move the crop.`;
      $("note").textContent = field("view").value === "crop" ? part
        : scale < 1 ? smaller : `${width} x ${height} pixels.`;
    }
    const number = field("method").selectedIndex;
    const response = await ask("smoothed", { ...values(), ...place(), method: number, tab, turn: mine });
    if (!response || mine !== turn) return;
    await show($("after"), response);
    const ms = Math.round(1000 * Number(response.headers.get("X-Seconds")));
    $("cost").textContent = `${ms} ms for what is shown`;
    showCommand(new TextDecoder().decode(bytes(response.headers.get("X-Command"))));
    say("");
  } catch (error) {
    if (mine === turn) say(error.message);
  } finally {
    if (mine === turn) {
      $("frame").classList.remove("waiting");
      resize();
    }
  }
}

/** Show one pixel of the picture as a whole number of pixels of the screen. */
function resize() {
  const zoom = Number(field("zoom").value) / devicePixelRatio;
  for (const side of ["width", "height"]) {
    $("after").style[side] = `${$("before").naturalWidth ? zoom
      * $("before")[side === "width" ? "naturalWidth" : "naturalHeight"] : 0}px`;
  }
}

controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("input", ({ target }) => {
  if (target.name === "zoom") resize();
  else if (target.name === "method") {
    showParameters();
    update(false);
  } else if (target.name === "photograph" || target.name === "view") {
    if (target.name === "photograph") Object.assign(corner, { row: 0, column: 0 });
    update(true);
  } else update(false);
});
$("defaults").addEventListener("click", () => {
  showParameters();
  update(false);
});
$("copy").addEventListener("click", () => navigator.clipboard.writeText($("command").textContent));
$("split").addEventListener("input", ({ target }) =>
  $("frame").style.setProperty("--at", `${target.value}%`));

/** Shift and drag move the crop over the photograph. */
$("frame").addEventListener("pointerdown", (down) => {
  if (field("view").value !== "crop" || !down.shiftKey) return;
  down.preventDefault();
  $("frame").addEventListener("pointerup", (up) => {
    const zoom = Number(field("zoom").value) / devicePixelRatio;
    const moved = (start, from, to, length) => Math.round(
      Math.min(Math.max(start - (to - from) / zoom, 0), Math.max(length - offer.cropSide, 0)));
    corner.row = moved(corner.row, down.clientY, up.clientY, size.height);
    corner.column = moved(corner.column, down.clientX, up.clientX, size.width);
    update(true);
  }, { once: true });
});

async function begin() {
  try {
    offer = await (await ask("offer")).json();
  } catch (error) {
    say(error.message);
    return;
  }
  field("photograph").append(...offer.photographs.map((name) => new Option(name, name)));
  field("method").append(...offer.methods.map(
    (one) => new Option(one.is_network ? `${one.name} (network)` : one.name, one.name)));
  document.title = `Preview: ${offer.photographs[0]}`;
  showParameters();
  await update(true);
  setInterval(() => ask("alive").catch((error) => say(error.message)), 3000);
}

begin();
