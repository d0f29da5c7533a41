/* Improves the form, which works without it. The server renders results. */

const AT_ONCE = 2; // uploads
const LARGE_BYTES = 500_000;
const SENT_SIDE = 1024; // pixels, as kept by the server
const SHOWN_SIDE = 640;
const QUALITY = 0.9;
const LONGEST_WAIT_S = 60;
const PICTURE_WAIT_S = 3;

const form = document.querySelector("form.upload");
const input = form.querySelector("#fileImage");
const camera = form.querySelector("#camera");
const button = form.querySelector("[type=submit]");
const chosen = form.querySelector(".chosen");
const answers = document.querySelector("#answers");
const live = document.querySelector("#live");
let address = location.pathname;
let count = 0; // of results

/* Choosing */

function choose(files) {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  input.files = transfer.files;
  showChosen();
}

function add(files) {
  choose([...input.files, ...files]);
  camera.value = "";
  live.replaceChildren();
  announce(`Chosen: ${[...input.files].map(({ name }) => name).join(", ")}`);
}

function remove(file) {
  choose([...input.files].filter((other) => other !== file));
  input.focus();
}

function showChosen() {
  chosen.replaceChildren(...Array.from(input.files, thumbnail));
}

function thumbnail(file) {
  const item = named("chosen", file);
  Object.assign(item.querySelector("button"), { ariaLabel: `Remove ${file.name}`, onclick: () => remove(file) });
  showPreview(file, item);
  return item;
}

function copyOf(template) {
  return document.querySelector(`template#${template}`).content.firstElementChild.cloneNode(true);
}

function named(template, file) {
  const copy = copyOf(template);
  copy.querySelector(".filename bdi").textContent = file.name;
  return copy;
}

async function showPreview(file, item) {
  const { preview } = await prepared(file);
  if (preview) item.querySelector(".picture").append(preview);
  else item.classList.add("bare");
}

/* Preparing */

const known = new WeakMap();
let last = Promise.resolve();

function prepared(file) {
  if (!known.has(file)) {
    last = last.then(() => prepare(file)); // one at a time: a decoded photo may take 200 MB
    known.set(file, last);
  }
  return known.get(file);
}

async function prepare(file) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const photo = { preview: preview(bitmap, file.name), body: await reduced(bitmap, file) };
    bitmap.close();
    return photo;
  } catch {
    return { body: file };
  }
}

function preview(bitmap, name) {
  const canvas = drawn(bitmap, SHOWN_SIDE / Math.max(bitmap.width, bitmap.height));
  return Object.assign(canvas, { role: "img", ariaLabel: `Preview of ${name}` });
}

async function reduced(bitmap, file) {
  const scale = neededScale(bitmap);
  if (file.size <= LARGE_BYTES || file.type === "image/gif" || scale >= 1) return file;
  const canvas = drawn(bitmap, scale);
  const small = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  return small && small.size < file.size ? small : file;
}

/* Enough for the server and its model. */
function neededScale({ width, height }) {
  const shorter = Number(form.dataset.shorter ?? Infinity);
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

async function send(event) {
  if (form.together?.checked) return; // one request
  event.preventDefault();
  const photos = Array.from(input.files, pending);
  const queue = [...photos];
  choose([]);
  live.replaceChildren();
  answers.replaceChildren(...photos.map(({ card }) => card));
  answers.scrollIntoView();
  button.blur();
  button.disabled = true;
  await Promise.all(Array.from({ length: AT_ONCE }, () => answerAll(queue)));
  button.disabled = false;
  moveFocus();
}

function pending(file) {
  const card = named("pending", file);
  const [state, progress, retry] = [".state", "progress", ".retry"].map((part) => card.querySelector(part));
  const photo = { file, card, state, progress, retry };
  retry.onclick = () => answer(photo).then(moveFocus);
  showPreview(file, card);
  return photo;
}

async function answerAll(queue) {
  for (let photo; (photo = queue.shift()); ) await answer(photo);
}

async function answer(photo) {
  const { body } = await prepared(photo.file);
  let reply = await posted(photo, body);
  const wait = Number(reply.getResponseHeader("Retry-After"));
  if (reply.status === 503 && wait > 0 && wait <= LONGEST_WAIT_S) {
    photo.state.textContent = `The site is busy; trying again in ${wait} s.`;
    await seconds(wait);
    reply = await posted(photo, body);
  }
  const article = reply.response?.querySelector("article.result");
  if (article) await show(photo, document.importNode(article, true), reply.response.title);
  else refuse(photo, reply);
}

/* XMLHttpRequest: fetch reports no upload progress. Status 0: not reached. */
function posted(photo, body) {
  const request = new XMLHttpRequest();
  const data = new FormData();
  data.append(input.name, body, photo.file.name);
  request.responseType = "document";
  request.upload.onprogress = ({ loaded, total }) => (photo.progress.value = loaded / total);
  request.upload.onload = () => (photo.state.textContent = "Classifying …");
  begin(photo);
  return new Promise((resolve) => {
    request.onloadend = () => resolve(request);
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "text/html");
    request.send(data);
  });
}

function begin({ card, state, progress, retry }) {
  card.querySelector(".alert")?.remove();
  card.querySelector(".filename").hidden = false;
  card.ariaBusy = "true";
  state.textContent = "Uploading …";
  progress.value = 0;
  state.hidden = progress.hidden = false;
  retry.blur();
  retry.hidden = true;
}

function seconds(count) {
  return new Promise((resolve) => setTimeout(resolve, 1000 * count));
}

/* Showing */

async function show({ file, card }, article, title) {
  const alone = answers.children.length === 1;
  const heading = article.querySelector("h2");
  heading.tabIndex = -1;
  giveOwnIds(article);
  const picture = article.querySelector("img").decode().catch(() => {});
  await Promise.race([picture, seconds(PICTURE_WAIT_S)]);
  card.replaceWith(article);
  announce(alone ? heading.textContent : `${file.name}: ${heading.textContent}`);
  if (alone) goTo(article.querySelector('a[href*="/results/"]'), title);
}

/* Results may share ids. */
function giveOwnIds(article) {
  count += 1;
  for (const name of ["id", "for", "list", "aria-labelledby", "aria-describedby"]) {
    for (const element of article.querySelectorAll(`[${name}]`)) {
      element.setAttribute(name, element.getAttribute(name).replace(/\S+/g, `answer-${count}-$&`));
    }
  }
}

function refuse({ card, state, progress, retry }, { status, response }) {
  const problem = response?.querySelector(".alert-danger");
  card.querySelector(".filename").hidden = Boolean(problem); // the server names the file
  card.ariaBusy = "false";
  state.hidden = progress.hidden = true;
  retry.hidden = Boolean(problem) && ![429, 503].includes(status);
  retry.before(problem ? document.importNode(problem, true) : copyOf("unreached"));
}

function announce(text) {
  live.append(Object.assign(document.createElement("p"), { textContent: text.trim() }));
}

/* Unless the visitor has moved it. */
function moveFocus() {
  const next = answers.querySelector("h2") ?? answers.querySelector(".retry:not([hidden])") ?? input;
  if (document.activeElement === document.body) next.focus({ preventScroll: true });
}

function goTo(link, title) {
  if (!link) return;
  history.pushState(null, "", link.pathname);
  address = location.pathname;
  document.title = title;
}

/* Heat maps */

function toggleHeat(event) {
  const link = event.target.closest("a.why");
  if (!link) return;
  event.preventDefault();
  const card = link.closest("article");
  const shown = card.querySelector(".why[aria-current]");
  shown?.removeAttribute("aria-current");
  card.querySelector(".heat")?.remove();
  if (shown === link) return;
  link.ariaCurrent = "true";
  const heat = { className: "heat", alt: "Heat map: where the model saw this", src: link.dataset.heat };
  card.querySelector(".picture").append(Object.assign(new Image(), heat));
}

function copyLink({ target }) {
  if (!target.matches(".copy")) return;
  navigator.clipboard.writeText(target.previousElementSibling.href).then(() => (target.textContent = "Copied"));
}

/* Events */

function drag(event) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.toggle("dropping", event.type === "dragover");
  if (event.type === "drop") add(event.dataTransfer.files);
}

function dragAway(event) {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
}

function paste(event) {
  if (event.clipboardData.files.length === 0) return;
  event.preventDefault();
  add(event.clipboardData.files);
}

addEventListener("dragover", drag);
addEventListener("drop", drag);
addEventListener("dragleave", dragAway);
addEventListener("paste", paste);
camera.addEventListener("change", () => add(camera.files));
input.addEventListener("change", showChosen);
form.addEventListener("submit", send);
answers.addEventListener("click", toggleHeat);
answers.addEventListener("click", copyLink);
answers.addEventListener("toggle", ({ target }) => target.querySelector(".origin").replaceChildren(origin), true);
// reload() would submit the form again.
addEventListener("popstate", () => location.pathname === address || location.replace(location.pathname));

input.required = true; // photos from the camera move here
showChosen();
