"use strict";

const BATCH = 48; // cards added whenever the end of the page comes near
const BINS = 20;

const data = JSON.parse(document.getElementById("data").textContent);
const sampled =
  data.datasetPhotographs > data.photographs.length
    ? `, a sample of the dataset's ${data.datasetPhotographs}`
    : "";
const controls = document.getElementById("controls");
const cards = document.getElementById("cards");
const viewer = document.getElementById("viewer");
const end = document.getElementById("end");

let chosen = []; // photographs that pass the filters, in the order chosen
let added = 0; // how many of them have a card

/** Count in how many photographs each of the values that `list` returns occurs, most first. */
function count(photographs, list) {
  const counts = new Map();
  for (const photograph of photographs) {
    for (const value of list(photograph)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]);
}

function fill(name, values) {
  for (const value of values) controls.elements[name].add(new Option(value, value));
}

/** Return whether a photograph passes the filters. */
function passes(photograph) {
  const { split, operator, class: kind, low, high, id, failed } = controls.elements;
  const { score } = photograph;
  return (
    (!split.value || photograph.split === split.value) &&
    (!operator.value || photograph.operator === operator.value) &&
    (!kind.value || photograph.classes.includes(kind.value)) &&
    (!low.value || (score !== null && score >= Number(low.value))) &&
    (!high.value || (score !== null && score <= Number(high.value))) &&
    photograph.id.includes(id.value) &&
    (!failed.checked || photograph.failed.length > 0)
  );
}

/** Sort by score in either direction; photographs without one come last. */
function sort(photographs, order) {
  if (order === "index") return photographs;
  const sign = order === "worst" ? 1 : -1;
  const key = ({ score }) => (score === null ? Infinity : sign * score);
  return photographs.sort((a, b) => key(a) - key(b) || 0); // Infinity - Infinity is NaN
}

function describe(photograph) {
  const { split, width, height, operator, method, score, classes, texture, failed } = photograph;
  const how = score === null ? method : `score ${score.toFixed(3)}`;
  const parts = [split, `${width} × ${height}`, operator, how, classes.join(", "), texture];
  if (failed.length) parts.push(`no worse than the label: ${failed.join(", ")}`);
  return parts.filter(Boolean).join(" · ");
}

function makeCard(photograph) {
  const card = document.getElementById("card").content.cloneNode(true);
  const compare = card.querySelector(".compare");
  const slider = card.querySelector("input");
  const button = card.querySelector("button");
  compare.style.aspectRatio = `${photograph.width} / ${photograph.height}`;
  compare.style.setProperty("--at", "50%");
  compare.photograph = photograph;
  slider.ariaLabel = `position of the divider in ${photograph.id}, in percent`;
  slider.addEventListener("input", () => compare.style.setProperty("--at", `${slider.value}%`));
  button.textContent = photograph.id;
  button.addEventListener("click", () => openViewer(photograph));
  card.querySelector("p").textContent = describe(photograph);
  setPictures(compare);
  return card;
}

/** Give a card the pictures that the controls ask for. */
function setPictures(compare) {
  const { thumbnails } = compare.photograph;
  const set = (selector, source) => {
    const picture = compare.querySelector(selector);
    picture.hidden = !source;
    if (source) picture.src = source;
  };
  set(".left", thumbnails[controls.elements.left.value]);
  set(".right", thumbnails[controls.elements.right.value]);
  set(".overlay", controls.elements.overlay.checked ? thumbnails.mask : undefined);
}

function openViewer(photograph) {
  const figures = data.maps.filter((name) => photograph.thumbnails[name]).map((name) => {
    const figure = document.createElement("figure");
    const picture = new Image();
    picture.src = photograph.thumbnails[name];
    picture.alt = `${name} of ${photograph.id}`;
    const caption = document.createElement("figcaption");
    caption.textContent = name;
    figure.append(picture, caption);
    return figure;
  });
  viewer.querySelector("h2").textContent = `${photograph.id}: ${describe(photograph)}`;
  viewer.querySelector(".maps").replaceChildren(...figures);
  viewer.showModal();
}

function addCards() {
  cards.append(...chosen.slice(added, added + BATCH).map(makeCard));
  added = Math.min(added + BATCH, chosen.length);
}

function update() {
  const order = controls.elements.order.value;
  chosen = sort(data.photographs.filter(passes), order);
  added = 0;
  cards.replaceChildren();
  addCards();
  document.getElementById("count").textContent =
    `${chosen.length} of ${data.photographs.length} photographs${sampled}`;
  document.getElementById("plots").replaceChildren(
    ...(chosen.some(({ score }) => score !== null) ? [plotScores(chosen)] : []),
    plotCounts("labels by operator", count(chosen, ({ operator }) => [operator])),
    plotCounts("photographs by class", count(chosen, ({ classes }) => classes)),
  );
  observer.unobserve(end); // to be told at once if the end is still in sight
  observer.observe(end);
}

/** Make an SVG element. */
function svg(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function figure(title, width, height, elements) {
  const drawing = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  drawing.append(...elements);
  const caption = document.createElement("figcaption");
  caption.textContent = title;
  const whole = document.createElement("figure");
  whole.append(caption, drawing);
  return whole;
}

/** Draw how often each range of scores occurs, and the recipe's threshold. */
function plotScores(photographs) {
  const [width, height, base] = [320, 120, 100];
  const bins = new Array(BINS).fill(0);
  const scores = photographs.map(({ score }) => score).filter((score) => score !== null);
  for (const score of scores) bins[Math.min(Math.floor(score * BINS), BINS - 1)] += 1;
  const most = Math.max(...bins, 1);
  const step = width / BINS;
  const bars = bins.map((n, i) => {
    const size = (n / most) * (base - 14);
    const bar = svg("rect", { x: i * step + 1, y: base - size, width: step - 2, height: size });
    bar.append(svg("title", {}, `${i / BINS} to ${(i + 1) / BINS}: ${n}`));
    return bar;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((value) => {
    const anchor = value === 0 ? "start" : value === 1 ? "end" : "middle";
    return svg("text", { x: value * width, y: height - 6, "text-anchor": anchor }, value);
  });
  const at = data.minScore * width;
  const threshold = svg("line", { x1: at, x2: at, y1: 0, y2: base });
  return figure(`${scores.length} scores, threshold ${data.minScore}, highest bar ${most}`,
    width, height, [...bars, ...ticks, threshold]);
}

/** Draw a bar for each of the most frequent values. */
function plotCounts(title, counts) {
  const [width, row, text, most] = [320, 15, 170, 8];
  const largest = Math.max(...counts.map(([, n]) => n), 1);
  const rows = counts.slice(0, most).flatMap(([name, n], i) => {
    const size = (n / largest) * (width - text - 40);
    return [
      svg("text", { x: text - 6, y: i * row + 12, "text-anchor": "end" }, name),
      svg("rect", { x: text, y: i * row + 2, width: size, height: row - 4 }),
      svg("text", { x: text + size + 4, y: i * row + 12 }, n),
    ];
  });
  const more = counts.length > most ? `, ${counts.length - most} more` : "";
  return figure(title + more, width, Math.min(counts.length, most) * row + 4, rows);
}

function showLeftOut() {
  const rows = data.leftOut.map(({ id, split, score, reason }) => {
    const row = document.createElement("tr");
    for (const text of [id, split, score?.toFixed(3) ?? "", reason]) row.insertCell().append(text);
    return row;
  });
  const section = document.getElementById("left-out");
  const all = Math.max(data.datasetLeftOut, rows.length);
  section.querySelector("h2").textContent =
    `Left out: ${all}${all > rows.length ? `, of which ${rows.length} are listed` : ""}`;
  section.querySelector("tbody").append(...rows);
  section.hidden = all === 0;
}

const observer = new IntersectionObserver(
  ([entry]) => {
    if (!entry.isIntersecting || added === chosen.length) return;
    addCards();
    observer.unobserve(end);
    observer.observe(end);
  },
  { rootMargin: "800px" },
);

document.title = `VOC-smooth ${data.name}`;
document.getElementById("name").textContent = data.name;
document.getElementById("description").textContent = data.description;
fill("left", data.maps);
fill("right", data.maps);
fill("split", count(data.photographs, ({ split }) => [split]).map(([name]) => name));
fill("operator", count(data.photographs, ({ operator }) => [operator]).map(([name]) => name));
fill("class", count(data.photographs, ({ classes }) => classes).map(([name]) => name).sort());
for (const [name, map] of [["left", "input"], ["right", "label"]]) {
  const options = [...controls.elements[name].options];
  for (const option of options) option.defaultSelected = option.value === map;
}
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("reset", () => setTimeout(update)); // after the values are back
controls.addEventListener("input", ({ target }) => {
  if (["left", "right", "overlay"].includes(target.name)) {
    document.querySelectorAll(".compare").forEach(setPictures);
  } else {
    update();
  }
});
showLeftOut();
update();
