/* The live camera: one frame under way at a time, the next after its answer. The site keeps none of them. */

import { all, find, jpeg, seconds, shorter } from "./site.js";

const readable = (label) => label.replaceAll("_", " ");

/* Show in `card` what the camera sees and what the site says of it; `keep` gets the frame to be kept. */
export function watch(card, site, keep) {
	const [video, state, off] = ["video", ".state", ".off"].map((part) => find(part, card));
	let stream;

	async function frame() {
		const bitmap = await createImageBitmap(video);
		return jpeg(bitmap, shorter() / Math.min(bitmap.width, bitmap.height));
	}

	async function ask() {
		const body = new FormData();
		body.append("fileImage", await frame(), "camera.jpg");
		body.append("keep", "0");
		const response = await fetch(site, { method: "POST", body, headers: { Accept: "application/json" } });
		if (!response.ok) return seconds(response.headers.get("Retry-After") ?? 2);
		const { predictions, sure } = (await response.json()).results[0];
		if (stream) show(predictions, sure);
	}

	function show(predictions, sure) {
		state.textContent = readable(predictions[0].label) + (sure === false ? "?" : "");
		all("li", card).forEach((line, place) => {
			const { label, score } = predictions[place];
			find(".label", line).textContent = readable(label);
			find(".num", line).textContent = `${(100 * score).toFixed(2)}%`;
			find("progress", line).value = score;
		});
		card.dataset.frames = Number(card.dataset.frames ?? 0) + 1;
	}

	async function begin() {
		const constraints = { video: { facingMode: "environment", height: { ideal: 720 } } };
		const mine = await navigator.mediaDevices.getUserMedia(constraints).catch(() => null);
		if (!mine) return (state.textContent = "The browser gives this page no camera; please allow it, or choose a photo.");
		video.srcObject = stream = mine;
		off.textContent = "Turn the camera off";
		await video.play();
		while (stream === mine && card.isConnected) await ask().catch(() => seconds(2));
		end(mine);
	}

	function end(mine = stream) {
		for (const track of mine?.getTracks() ?? []) track.stop();
		if (mine !== stream) return;
		stream = null;
		off.textContent = "Turn the camera on";
		state.textContent = "The camera is off";
	}

	off.onclick = () => (stream ? end() : begin());
	find(".keep", card).onclick = () => frame().then(keep);
	document.addEventListener("visibilitychange", () => document.hidden && end());
	begin();
}
