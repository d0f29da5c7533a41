/* Improves the pages, which also work without it. The server renders every answer. */

const AT_ONCE = 2; // photos being sent
const LARGE_BYTES = 500_000;
const SENT_SIDE = 1024; // pixels, as kept by the server
const SHOWN_SIDE = 640;
const TILE_SIDE = 280;
const QUALITY = 0.9;
const LONGEST_WAIT_S = 60;
const PICTURE_WAIT_S = 3;
const ANNOUNCED = 16; // answers that are announced one by one
const LATER = [0, 429, 503]; // statuses after which the same photo may be answered; 0: not reached

const root = document.documentElement;
const page = document.querySelector("#page");
const live = document.querySelector("#live");
const home = new URL(document.querySelector(".brand").href).pathname;
let address = location.pathname;
let count = 0; // of answers shown

const find = (selector) => page.querySelector(selector);
const copyOf = (name) => document.querySelector(`template#${name}`).content.cloneNode(true);
const seconds = (number) => new Promise((resolve) => setTimeout(resolve, 1000 * number));

/* Choosing: each of these sends the photos at once */

function drag(event) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.toggle("dropping", event.type === "dragover");
  if (event.type === "drop") filesIn(event.dataTransfer).then(start);
}

/* A dropped folder counts as the photos in it and in its folders. */
async function filesIn({ items, files }) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean); // gone after the event
  if (!entries.some((entry) => entry.isDirectory)) return [...files];
  const found = [];
  for (const entry of entries) await collect(entry, found);
  return found;
}

async function collect(entry, found) {
  if (entry.name.startsWith(".")) return;
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file && /^(image\/.*|.*zip.*|)$/.test(file.type)) found.push(file);
    return;
  }
  const reader = entry.createReader();
  const some = () => new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
  for (let entries; (entries = await some()).length > 0; ) for (const entry of entries) await collect(entry, found);
}

function chosen({ target }) {
  if (target.type !== "file") return;
  const files = [...target.files];
  target.value = "";
  start(files);
}

function paste(event) {
  if (event.clipboardData.files.length === 0) return;
  event.preventDefault();
  start([...event.clipboardData.files]);
}

/* Preparing */

let last = Promise.resolve();

/* One at a time: a decoded photo may take 200 MB. */
function prepared(file, side) {
  return (last = last.then(() => prepare(file, side)));
}

async function prepare(file, side) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const photo = { preview: preview(bitmap, file.name, side), body: await reduced(bitmap, file) };
    bitmap.close();
    return photo;
  } catch {
    return { body: file };
  }
}

function preview(bitmap, name, side) {
  const canvas = drawn(bitmap, side / Math.max(bitmap.width, bitmap.height));
  return Object.assign(canvas, { role: "img", ariaLabel: `Preview of ${name}` });
}

async function reduced(bitmap, file) {
  const scale = neededScale(bitmap);
  if (file.size <= LARGE_BYTES || file.type === "image/gif" || scale >= 1) return file;
  const canvas = drawn(bitmap, scale);
  const small = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  return small && small.size < file.size ? small : file;
}

/* The server and its model need no more. */
function neededScale({ width, height }) {
  const shorter = Number(find("form.upload").dataset.shorter ?? Infinity);
  return Math.max(SENT_SIDE / Math.max(width, height), shorter / Math.min(width, height));
}

function drawn(bitmap, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * Math.min(1, scale)));
  canvas.height = Math.max(1, Math.round(bitmap.height * Math.min(1, scale)));
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/* Sending */

const queue = [];
const photos = new Map(); // card -> photo, until it is answered
let busy = 0;
let list; // the section of many answers

function start(files) {
  if (files.length === 0) return;
  if (!find("#answers")) page.replaceChildren(copyOf("answering"));
  document.body.classList.remove("start");
  const inList = files.length > 1 || isZip(files[0]) || list?.isConnected;
  if (inList) showList();
  else list = undefined;
  const added = files.map((file) => pending(file, inList ? "waiting" : "pending"));
  if (inList) list.querySelector("tbody").append(...added.map(({ card }) => card));
  else find("#answers").replaceChildren(added[0].card);
  live.replaceChildren();
  find(inList ? ".summary" : "article").scrollIntoView();
  send(added);
}

const isZip = ({ name, type }) => /\.zip$/i.test(name) || type.endsWith("zip");

function showList() {
  if (list?.isConnected) return;
  list ??= find(".many") ?? copyOf("many").firstElementChild;
  find("#answers").replaceChildren(list);
}

function pending(file, template) {
  const card = copyOf(template).querySelector("article, tr");
  const photo = { file, card, state: card.querySelector(".state"), progress: card.querySelector(".sent") };
  rename(card, file.name);
  photos.set(card, photo);
  return photo;
}

function rename(card, name) {
  const place = card.querySelector(".filename");
  if (place) Object.assign(place, { textContent: name, title: name });
}

function send(added) {
  queue.push(...added);
  find("#answers").ariaBusy = "true";
  proceed();
}

function proceed() {
  while (busy < AT_ONCE && queue.length > 0) {
    busy += 1;
    answer(queue.shift()).finally(() => {
      busy -= 1;
      proceed();
    });
  }
  tally();
  if (busy === 0) end();
}

function end() {
  find("#answers").ariaBusy = "false";
  if (list) announce(list.querySelector(".summary p").textContent);
  const next = find("article h2") ?? find(".retry:not([hidden])") ?? find(".summary p") ?? find("#fileImage");
  if (document.activeElement === document.body) focus(next); // unless the visitor has moved it
}

function focus(element) {
  if (!element.matches("a, button, input")) element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

async function answer(photo) {
  const { card, file } = photo;
  const { preview, body } = await prepared(file, card.matches("tr") ? TILE_SIDE : SHOWN_SIDE);
  if (!photos.has(card)) return; // left out meanwhile
  if (preview && isNear(card)) card.querySelector(".shot, .picture").replaceChildren(preview);
  let reply = await posted(photo, body);
  const wait = Number(reply.getResponseHeader("Retry-After"));
  if (reply.status === 503 && wait > 0 && wait <= LONGEST_WAIT_S) {
    photo.state.textContent = `The site is busy; trying again in ${wait} s.`;
    await seconds(wait);
    reply = await posted(photo, body);
  }
  const answers = reply.response?.querySelectorAll(card.matches("tr") ? ".many tbody tr" : "article.result") ?? [];
  if (answers.length === 0 || LATER.includes(reply.status)) return refuse(photo, reply);
  await show(photo, [...answers].map((answer) => document.importNode(answer, true)), reply.response.title);
}

/* The previews of a thousand photos would fill the memory. */
function isNear(card) {
  const { top } = card.getBoundingClientRect();
  return card.isConnected && Math.abs(top) < 2 * innerHeight;
}

/* XMLHttpRequest: fetch reports no upload progress. Status 0: not reached. */
function posted(photo, body) {
  const request = new XMLHttpRequest();
  const data = new FormData();
  data.append("fileImage", body, photo.file.name);
  request.responseType = "document";
  request.upload.onprogress = ({ loaded, total }) => (photo.progress.value = loaded / total);
  request.upload.onload = () => (photo.state.textContent = "Being looked at …");
  begin(photo);
  return new Promise((resolve) => {
    request.onloadend = () => resolve(request);
    request.open("POST", home + (photo.card.matches("tr") ? "?view=many" : ""));
    request.setRequestHeader("Accept", "text/html");
    request.send(data);
  });
}

function begin({ card, state, progress }) {
  card.querySelector("[role=alert]")?.remove();
  card.ariaBusy = "true";
  card.classList.remove("unsent");
  state.textContent = "Being sent …";
  progress.value = 0;
  state.hidden = progress.hidden = false;
  const retry = card.querySelector(".retry");
  retry.blur();
  retry.hidden = true;
}

/* Showing */

async function show({ file, card }, answers, title) {
  photos.delete(card);
  for (const answer of answers) giveOwnIds(answer);
  if (answers.length === 1) rename(answers[0], file.name);
  if (card.matches("tr")) keepPreview(card, answers[0]);
  else await Promise.race([answers[0].querySelector("img").decode().catch(() => {}), seconds(PICTURE_WAIT_S)]);
  card.replaceWith(...answers);
  const told = answers[0].querySelector("h2, .what :is(a, summary) > span, .rough");
  if (told.matches("h2")) announce(told.textContent);
  else if (list.querySelectorAll("tbody tr").length <= ANNOUNCED) announce(`${file.name}: ${told.textContent}`);
  if (!card.matches("tr")) goTo(answers[0].querySelector(".looked, .copy"), title);
}

function keepPreview(card, row) {
  const [canvas, image] = [card.querySelector("canvas"), row.querySelector("img")];
  if (!canvas || !image) return;
  image.before(canvas);
  image.onload = () => canvas.remove();
}

/* Answers that are not kept use the same ids. */
function giveOwnIds(answer) {
  if (answer.querySelector(".copy, .open")) return; // its ids hold that of the result
  count += 1;
  for (const name of ["id", "for", "list", "aria-labelledby", "aria-describedby"]) {
    for (const element of [answer, ...answer.querySelectorAll(`[${name}]`)]) {
      const ids = element.getAttribute(name);
      if (ids) element.setAttribute(name, ids.replace(/\S+/g, `answer-${count}-$&`));
    }
  }
}

function refuse(photo, { status, response }) {
  const { card, state, progress } = photo;
  const problem = response?.querySelector("[role=alert]");
  const retry = card.querySelector(".retry");
  card.ariaBusy = "false";
  state.hidden = progress.hidden = true;
  retry.hidden = Boolean(problem) && !LATER.includes(status);
  if (retry.hidden) photos.delete(card);
  const alert = problem ? document.importNode(problem, true) : copyOf("unreached").firstElementChild;
  if (card.matches("tr")) unsent(photo, alert.textContent);
  else retry.before(alert);
}

function unsent({ card, state }, why) {
  card.ariaBusy = "false";
  card.classList.add("unsent");
  Object.assign(state, { textContent: "Not sent", hidden: false });
  card.querySelector(".rough").textContent = why;
  card.querySelector(".retry").hidden = false;
}

function stop() {
  for (const photo of queue.splice(0)) unsent(photo, "");
  tally();
}

function retry(cards) {
  const again = [...cards].map((card) => photos.get(card)).filter(Boolean);
  for (const { card, state } of again) {
    card.classList.remove("unsent");
    state.textContent = "Waiting";
  }
  send(again);
}

function leave(card) {
  const index = queue.findIndex((photo) => photo.card === card);
  if (index >= 0) queue.splice(index, 1);
  photos.delete(card);
  card.remove();
  tally();
}

function tally() {
  if (!list) return;
  const [total, waiting, unsure, failed, unsent] = ["tbody tr", ".waits", ".pill", ".failed", ".unsent"].map(
    (selector) => list.querySelectorAll(selector).length,
  );
  const left = waiting - unsent;
  const also = [
    left ? "" : `${total - waiting - unsure - failed} named`,
    unsure && !left ? `${unsure} not sure` : "",
    failed ? `${failed} could not be read` : "",
    unsent ? `${unsent} not sent` : "",
  ].filter(Boolean);
  const lead = document.createElement("strong");
  lead.textContent = left ? `${total - left} of ${total} photos` : `${total} photo${total === 1 ? "" : "s"}:`;
  list.querySelector(".summary p").replaceChildren(lead, left ? " answered" : "", also.length && left ? ", " : " ", also.join(", "));
  list.querySelector(".stop").hidden = left === 0;
  list.querySelector(".again").hidden = unsent === 0;
  Object.assign(list.querySelector(".big"), { hidden: left === 0, max: total, value: total - left });
}

function announce(text) {
  live.append(Object.assign(document.createElement("p"), { textContent: text.trim() }));
}

function goTo(link, title) {
  if (!link) return;
  history.pushState(null, "", link.dataset.url ?? link.pathname);
  address = location.pathname;
  document.title = title;
}

/* One of many: its whole answer, and back */

let scrolled = 0;

async function open(link, isNew = true) {
  const article = (await asked(link.href))?.querySelector("article.result");
  if (!article) return location.assign(link.href);
  scrolled = isNew ? scrollY : scrolled;
  rename(article, link.closest("tr").querySelector(".filename").textContent);
  find("#answers").replaceChildren(copyOf("back"), document.importNode(article, true));
  if (isNew) history.pushState(null, "", link.href);
  address = location.pathname;
  find("#answers").scrollIntoView();
  const none = link.hash && find("details.none");
  if (none) none.open = true;
  focus(none ? none.querySelector("input") : find("article h2"));
}

/* Not reload(), which would submit the form again. */
function travel() {
  if (location.pathname === address) return;
  const link = list?.querySelector(`a.open[href="${location.pathname}"]`);
  if (link) return open(link, false);
  if (!list || location.pathname !== home) return location.replace(location.pathname);
  address = home;
  find("#answers").replaceChildren(list);
  scrollTo(0, scrolled);
}

/* What is said of an answer */

async function asked(url, body) {
  try {
    const response = await fetch(url, { method: body ? "POST" : "GET", body, headers: { Accept: "text/html" } });
    return new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    return null;
  }
}

async function give(event) {
  const form = event.target;
  if (!form.matches(".feedback")) return;
  event.preventDefault();
  const row = form.closest("tr");
  const reply = await asked(form.action + (row ? "?view=many" : ""), new FormData(form, event.submitter));
  const part = row ? ".many .acts" : ".answer";
  const fresh = reply?.querySelector(part);
  if (!fresh || reply.querySelector(".start, .failed")) return complain(form, reply?.querySelector("[role=alert]"));
  const place = row?.querySelector(".acts") ?? form.closest(".answer");
  const now = document.importNode(fresh, true);
  const heat = place.parentElement.querySelector(".heat")?.getAttribute("src");
  for (const link of now.querySelectorAll(".why")) if (link.dataset.heat === heat) link.ariaCurrent = "true";
  place.replaceWith(now);
  focus(now.querySelector(row ? "button" : ".said, .says"));
}

function complain(form, problem) {
  const note = copyOf("unreached").firstElementChild;
  note.lastElementChild.textContent = problem?.textContent ?? "This could not be sent; please check the connection and try again.";
  form.querySelector("[role=alert]")?.remove();
  form.append(note);
}

function toggleHeat(link) {
  const article = link.closest("article");
  const heat = article.querySelector(".heat");
  const links = [...article.querySelectorAll("[data-heat]")];
  const ends = heat && (link.ariaCurrent || link.matches(".looked"));
  for (const other of links) {
    const shown = !ends && (other.matches(".looked") || other.dataset.heat === link.dataset.heat);
    other.ariaCurrent = shown ? "true" : null;
  }
  heat?.remove();
  if (ends) return;
  const image = { className: "heat", alt: "Heat map: where the model saw this", src: link.dataset.heat };
  article.querySelector(".picture").append(Object.assign(new Image(), image));
}

function copyLink(button) {
  const text = new URL(button.dataset.url, location).href;
  navigator.clipboard.writeText(text).then(() => (button.lastElementChild.textContent = "Copied"));
}

function sort(button) {
  const head = button.closest("th");
  const order = head.ariaSort === "ascending" ? "descending" : "ascending";
  for (const other of head.parentElement.children) other.ariaSort = null;
  head.ariaSort = order;
  const key = (row) => row.querySelector(`.${button.dataset.key}`);
  const value = button.dataset.key === "score" ? (row) => key(row).querySelector("progress")?.value ?? -1 : (row) => key(row).innerText.trim();
  const body = head.closest("table").tBodies[0];
  const rows = [...body.rows].map((row) => [value(row), row]);
  rows.sort(([one], [other]) => (typeof one === "number" ? one - other : one.localeCompare(other)));
  if (order === "descending") rows.reverse();
  body.append(...rows.map(([, row]) => row));
}

/* The theme: the system's, or the other one, which a cookie remembers */

const dark = matchMedia("(prefers-color-scheme: dark)");
const button = document.querySelector(".theme");
const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function switchTheme() {
  const next = isDark() ? "light" : "dark";
  const own = (next === "dark") !== dark.matches;
  if (own) root.dataset.theme = next;
  else delete root.dataset.theme;
  document.cookie = `theme=${next}; path=${home}; max-age=${own ? 31_536_000 : 0}; samesite=lax`;
  showTheme();
}

function showTheme() {
  button.ariaPressed = isDark();
}

/* Events */

const clicks = {
  "[data-heat]": (link, event) => (event.preventDefault(), toggleHeat(link)),
  ".copy": copyLink,
  ".theme": switchTheme,
  ".sort": sort,
  ".stop": stop,
  ".again": () => retry(list.querySelectorAll(".unsent")),
  ".retry": (element) => retry([element.closest("tr, article")]),
  ".leave": (element) => leave(element.closest("tr")),
  ".back": (link, event) => (event.preventDefault(), history.back()),
  ".many a.open": (link, event) => list && (event.preventDefault(), open(link)),
};

function click(event) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  for (const [selector, act] of Object.entries(clicks)) {
    const element = event.target.closest(selector);
    if (element) return act(element, event);
  }
}

addEventListener("dragover", drag);
addEventListener("drop", drag);
addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || document.body.classList.remove("dropping"));
addEventListener("paste", paste);
addEventListener("change", chosen);
addEventListener("click", click);
addEventListener("submit", give);
addEventListener("popstate", travel);
addEventListener("toggle", ({ target }) => target.querySelector?.(".origin")?.replaceChildren(origin), true);
dark.addEventListener("change", showTheme);
showTheme();
