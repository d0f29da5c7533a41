/* Improves the pages, which also work without it. The server renders every answer. */

const AT_ONCE = 2; // photos being sent
const LARGE_BYTES = 500_000;
const SENT_SIDE = 1024; // pixels, as kept by the server
const LONGEST_WAIT_S = 60;
const PICTURE_WAIT_S = 3;
const ANNOUNCED = 16; // answers, one by one
const LATER = [0, 429, 503]; // statuses that allow another try; 0: not reached

const root = document.documentElement;
export const find = (selector, place = document) => place.querySelector(selector);
const make = (name, properties) => Object.assign(document.createElement(name), properties);
export const all = (selector, place = document) => [...place.querySelectorAll(selector)];
const copyOf = (name) => find(`#${name}`).content.cloneNode(true).firstElementChild;
export const seconds = (number) => new Promise((resolve) => setTimeout(resolve, 1000 * number));
const home = find(".brand").pathname;
let address = location.pathname;

function drag(event) {
	if (!event.dataTransfer.types.includes("Files")) return;
	event.preventDefault();
	document.body.classList.toggle("dropping", event.type === "dragover");
	if (event.type === "drop") filesIn(event.dataTransfer).then(start);
}

/* A dropped folder counts as the photos in it, at any depth. */
async function filesIn({ items, files }) {
	const entries = [...items].map((item) => item.webkitGetAsEntry?.());
	if (!entries.some((entry) => entry?.isDirectory)) return [...files];
	return (await Promise.all(entries.map(inside))).flat(Infinity);
}

async function inside(entry) {
	const result = (from, method) => new Promise((resolve) => from[method](resolve, () => resolve([])));
	if (entry.name.startsWith(".")) return [];
	if (entry.isFile) return [await result(entry, "file")].flat().filter(({ type }) => /^$|^image|zip/.test(type));
	const reader = entry.createReader();
	const found = [];
	for (let some; (some = await result(reader, "readEntries")).length; ) found.push(...some);
	return Promise.all(found.map(inside));
}

function choose({ target }) {
	if (target.type !== "file") return;
	const files = [...target.files];
	target.value = "";
	start(files);
}

function paste(event) {
	const files = [...event.clipboardData.files];
	if (files.length) event.preventDefault();
	start(files);
}

let last = Promise.resolve();

/* One at a time: a decoded photo may take 200 MB. */
function prepared(file, side) {
	return (last = last.then(() => prepare(file, side)).catch(() => ({ body: file })));
}

async function prepare(file, side) {
	const isLarge = file.size > LARGE_BYTES && file.type !== "image/gif";
	if (!side && !isLarge) return { body: file };
	const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
	const [short, long] = [bitmap.width, bitmap.height].sort((one, other) => one - other);
	const scale = Math.max(SENT_SIDE / long, shorter() / short); // the server and its model need no more
	const preview = side && drawn(bitmap, side / long);
	const small = isLarge && scale < 1 && (await jpeg(bitmap, scale));
	bitmap.close();
	return { preview, body: small && small.size < file.size ? small : file };
}

export const shorter = () => Number(find("form.upload").dataset.shorter ?? Infinity);
export const jpeg = (bitmap, scale) => new Promise((resolve) => drawn(bitmap, scale).toBlob(resolve, "image/jpeg", 0.9));

function drawn(bitmap, scale) {
	const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.round(side * Math.min(1, scale)) || 1);
	const canvas = make("canvas", { width, height });
	const context = canvas.getContext("2d");
	context.fillStyle = "white";
	context.fillRect(0, 0, width, height);
	context.imageSmoothingQuality = "high";
	context.drawImage(bitmap, 0, 0, width, height);
	return canvas;
}

const queue = [];
const photos = new WeakMap(); // card -> photo, until it is answered
let busy = 0;
let list = find(".many"); // of answers

function start(files) {
	if (!files.length) return;
	find("dialog")?.close();
	if (files.length > 1 && find("[name=together]")?.checked) return submit(files);
	const isListed = list || files.length > 1 || files[0].type.includes("zip");
	const cards = files.map((file) => pending(file, copyOf(isListed ? "waiting" : "pending")));
	if (isListed && !list) show((list = copyOf("many")));
	if (isListed) find("tbody", list).append(...cards);
	else show(...cards);
	cards[0].scrollIntoView({ block: "nearest" });
	send(cards);
}

function submit(files) {
	const transfer = new DataTransfer();
	for (const file of files) transfer.items.add(file);
	find("#fileImage").files = transfer.files;
	find("form.upload").submit();
}

function show(...answers) {
	if (!find("#answers")) find("#page").replaceChildren(copyOf("answering"));
	document.body.classList.remove("start");
	find("#answers").replaceChildren(...answers);
	find("#live").replaceChildren();
}

function pending(file, card) {
	const [state, sent, retry] = [".state", ".sent", ".retry"].map((part) => find(part, card));
	photos.set(card, { file, card, isRow: card.matches("tr"), state, sent, retry });
	rename(card, file.name);
	return card;
}

function rename(card, name) {
	Object.assign(find(".filename", card), { textContent: name, title: name });
}

function send(cards) {
	const sent = cards.map((card) => photos.get(card));
	for (const { retry } of sent) retry.classList.remove("unsent");
	queue.push(...sent);
	find("#answers").ariaBusy = "true";
	proceed();
}

function proceed() {
	for (; busy < AT_ONCE && queue.length; busy += 1) answer(queue.shift()).finally(() => proceed((busy -= 1)));
	tally();
	if (busy === 0) end();
}

function end() {
	find("#answers").ariaBusy = "false";
	const next = find("#answers :is(.summary p, h2, .unsent)") ?? find("#fileImage");
	if (list) announce(next.textContent);
	if (document.activeElement === document.body) focus(next); // unless the visitor has moved it
}

function focus(element) {
	if (!element.matches("a, button, input")) element.tabIndex = -1;
	element.focus({ preventScroll: true });
}

async function answer(photo) {
	const { card, file, isRow, state } = photo;
	const isNear = Math.abs(card.getBoundingClientRect().top) < 2 * innerHeight; // a thousand previews fill memory
	const { preview, body } = await prepared(file, isNear && (isRow ? 280 : 640));
	if (!card.isConnected) return;
	if (preview) find(".shot, .photo", card).replaceChildren(preview);
	let reply = await posted(photo, body);
	const wait = reply.status === 503 && Number(reply.getResponseHeader("Retry-After"));
	if (wait > 0 && wait <= LONGEST_WAIT_S) {
		state.textContent = `The site is busy; trying again in ${wait} s.`;
		await seconds(wait);
		reply = await posted(photo, body);
	}
	const page = parsed(reply.responseText);
	const answers = all(isRow ? "tr" : "article.result", page);
	if (!answers.length || LATER.includes(reply.status)) return refuse(photo, reply.status, find("[role=alert]", page));
	photos.delete(card);
	if (answers.length === 1) rename(answers[0], file.name);
	if (isRow) fill(photo, answers);
	else await reveal(card, answers[0], find("title", page));
}

/* XMLHttpRequest: fetch reports no upload progress. */
function posted({ card, file, isRow, state, sent }, body) {
	const request = new XMLHttpRequest();
	const data = new FormData();
	data.append("fileImage", body, file.name);
	request.upload.onprogress = ({ loaded, total }) => (sent.value = loaded / total);
	request.upload.onload = () => (state.textContent = "Being looked at …");
	find("[role=alert]", card)?.remove();
	card.ariaBusy = "true";
	state.textContent = "Being sent …";
	sent.value = 0;
	return new Promise((resolve) => {
		request.onloadend = () => resolve(request);
		request.open("POST", home + (isRow ? "?view=rows" : ""));
		request.send(data);
	});
}

/* With another row, or class, Chromium would lay out every row again. */
function fill({ file, card }, [row, ...others]) {
	const [image, preview] = [find("img", row), find("canvas", card)];
	if (image && preview) {
		image.before(preview);
		image.onload = () => preview.remove();
	}
	card.ariaBusy = null;
	card.dataset.csv = row.dataset.csv;
	card.replaceChildren(...row.childNodes);
	card.after(...others);
	if (number("tile") <= ANNOUNCED) announce(`${file.name}: ${find(".told", card).textContent}`);
}

async function reveal(card, article, title) {
	document.adoptNode(article);
	await Promise.race([find("img", article).decode(), seconds(PICTURE_WAIT_S)]).catch(() => {});
	card.replaceWith(article);
	announce(find("h2", article).textContent);
	const link = find(".copy", article);
	if (!link) return;
	history.pushState(null, "", link.dataset.url);
	address = location.pathname;
	document.title = title.textContent;
}

function refuse(photo, status, problem) {
	const { card, isRow, retry } = photo;
	const alert = problem ?? copyOf("unreached");
	card.ariaBusy = "false";
	if (isRow) return unsent(photo, alert.textContent);
	retry.classList.toggle("unsent", !problem || LATER.includes(status));
	retry.before(alert);
}

function unsent({ card, state, retry }, why) {
	retry.classList.add("unsent");
	state.textContent = "Not sent";
	find(".rough", card).textContent = why;
}

function stop() {
	for (const photo of queue.splice(0)) unsent(photo, "");
	tally();
}

const number = (name) => list.getElementsByClassName(name).length;

function tally() {
	if (!list) return;
	const [total, waits, unsure, failed, unsent] = ["tile", "state", "pill", "down", "unsent"].map(number);
	const [left, named] = [waits - unsent, total - waits - unsure - failed];
	const parts = { "to go": left, named, "not sure": unsure, "could not be read": failed, "not sent": unsent };
	const words = Object.entries(parts).flatMap(([word, some]) => (some ? `${some} ${word}` : []));
	find(".summary p", list).textContent = `${total} photo${total === 1 ? "" : "s"}: ${words.join(", ")}`;
	find(".stop", list).hidden = !left;
	find(".csv", list).hidden = left;
	find(".again", list).hidden = !unsent;
	Object.assign(find(".big", list), { hidden: !left, max: total, value: total - left });
}

function announce(text) {
	find("#live").append(make("p", { textContent: text.trim() }));
}

function download(link) {
	const lines = all("[data-csv]", list).map(({ dataset }) => `${dataset.csv}\r\n`);
	link.href = URL.createObjectURL(new Blob(["\ufeff", ...lines], { type: "text/csv" }));
}

function sort(button) {
	const head = button.closest("th");
	const order = head.ariaSort === "ascending" ? -1 : 1;
	for (const other of head.parentElement.cells) other.ariaSort = null;
	head.ariaSort = order > 0 ? "ascending" : "descending";
	const key = (row) => row.cells[head.cellIndex].dataset.key ?? "";
	const compare = (one, other) => order * key(one).localeCompare(key(other), undefined, { numeric: true });
	find("tbody", list).append(...all("tbody tr", list).sort(compare));
}

const parsed = (innerHTML) => make("template", { innerHTML }).content; // documents would fill memory

const asked = async (url, options) => parsed(await fetch(url, options).then((reply) => reply.text(), () => ""));

async function open(link) {
	const article = find("article.result", await asked(link.href));
	if (!article) return location.assign(link.href);
	const dialog = document.body.appendChild(copyOf("opened"));
	dialog.append(article);
	rename(dialog, find(".filename", link.closest("tr")).textContent);
	dialog.onclose = dialog.remove;
	dialog.showModal();
	if (!link.hash) return;
	find(".none", dialog).open = true;
	find(".none input", dialog).focus();
}

async function give(event) {
	const form = event.target;
	if (!form.matches(".feedback")) return;
	event.preventDefault();
	const answer = form.closest("article, tr");
	const [part, query] = answer.matches("tr") ? [".acts", "?view=rows"] : [".answer", ""];
	const reply = await asked(form.action + query, { method: "POST", body: new FormData(form, event.submitter) });
	const [fresh, alert] = [find(part, reply), find("[role=alert]", reply)];
	find("[role=alert]", form)?.remove();
	if (!fresh || alert) return form.append(alert ?? copyOf("unreached"));
	find(part, answer).replaceWith(fresh);
	markHeat(answer, find(".heat", answer)?.getAttribute("src"));
	focus(find(".said, .says, button", fresh));
}

function toggleHeat(link) {
	const article = link.closest("article");
	const src = link.ariaCurrent ? null : link.dataset.heat;
	find(".heat", article)?.remove();
	const alt = "Heat map: where the model saw this";
	if (src) find(".photo", article).append(make("img", { className: "heat", alt, src }));
	markHeat(article, src);
}

function markHeat(article, src) {
	for (const link of all("[data-heat]", article)) {
		link.ariaCurrent = src && (link.matches(".looked") || link.dataset.heat === src) ? "true" : null;
	}
}

function copyLink({ dataset, lastElementChild }) {
	navigator.clipboard.writeText(origin + dataset.url).then(() => (lastElementChild.textContent = "Copied"));
}

const sendJpeg = (name) => (blob) => start([new File([blob], name, { type: blob.type })]);

async function lookCloser(button) {
	const { frameOn } = await import("./closer.js");
	const { textContent } = find(".filename", button.closest("article"));
	frameOn(button.closest(".photo"), copyOf("closer"), sendJpeg(textContent || "photo.jpg"));
}

async function watchLive() {
	const { watch } = await import("./live.js");
	list = null;
	show(copyOf("watching"));
	watch(find("#answers article"), home, sendJpeg("camera.jpg"));
}

/* The theme: the system's until the visitor switches it */

const dark = matchMedia("(prefers-color-scheme: dark)");

const system = () => (dark.matches ? "dark" : "light");
const showTheme = () => (find(".theme").ariaPressed = (root.dataset.theme || system()) === "dark");

function switchTheme() {
	const other = showTheme() ? "light" : "dark";
	const theme = (root.dataset.theme = other === system() ? "" : other);
	document.cookie = `theme=${theme}; path=${home}; max-age=${theme ? 31_536_000 : 0}; samesite=lax`;
	showTheme();
}

const clicks = {
	"[data-heat]": toggleHeat,
	".copy": copyLink,
	".theme": switchTheme,
	".sort": sort,
	".stop": stop,
	".again": () => send(all("tr:has(.unsent)", list)),
	".retry.unsent": (button) => send([button.closest("tr, article")]),
	".leave": (button) => {
		button.closest("tr").remove();
		tally();
	},
	".closer": lookCloser,
	".live": watchLive,
	".many .open": open,
};

function click(event) {
	const closest = (selector) => event.target.closest(selector);
	if (closest(".csv")) download(closest(".csv"));
	const selector = Object.keys(clicks).find(closest);
	if (!selector || event.ctrlKey || event.metaKey || event.shiftKey) return;
	event.preventDefault();
	clicks[selector](closest(selector));
}

const events = { dragover: drag, drop: drag, paste, change: choose, click, submit: give };
for (const name in events) addEventListener(name, events[name]);
addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || document.body.classList.remove("dropping"));
// reload() would submit the form again
addEventListener("popstate", () => location.pathname === address || location.replace(location.pathname));
addEventListener("toggle", ({ target }) => find(".origin", target)?.replaceChildren(origin), true);
dark.addEventListener("change", showTheme);
if (navigator.mediaDevices) root.classList.add("has-camera");
showTheme();
choose({ target: find("#fileImage") }); // chosen before this script ran
