/* Look closer: a frame on a picture, for the pointer and the keyboard. */

import { find, jpeg } from "./site.js";

const STEP = 0.02; // of the picture's sides
const SMALLEST = 0.1;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const between = (low, value, high) => Math.min(Math.max(low, value), high);

/* Lay `layer` over the picture, and call `ask` with the part of it that the visitor has framed, as a JPEG. */
export function frameOn(photo, layer, ask) {
	const image = find("img", photo);
	const frame = find(".frame", layer);
	let part; // as shares of the layer's sides

	function place({ left, top, width, height }) {
		[width, height] = [between(SMALLEST, width, 1), between(SMALLEST, height, 1)];
		part = { left: between(0, left, 1 - width), top: between(0, top, 1 - height), width, height };
		for (const side in part) frame.style[side] = `${100 * part[side]}%`;
	}

	function press(event) {
		const { target, pointerId } = event;
		if (target.matches("button, .part")) return;
		const { offsetWidth, offsetHeight } = layer;
		layer.setPointerCapture(pointerId);
		layer.onpointerup = () => (layer.onpointermove = null);
		layer.onpointermove = ({ movementX, movementY }) => {
			change(movementX / offsetWidth, movementY / offsetHeight, target !== frame);
		};
	}

	function change(right, down, isSize) {
		const { left, top, width, height } = part;
		if (isSize) place({ left, top, width: width + right, height: height + down });
		else place({ left: left + right, top: top + down, width, height });
	}

	function type(event) {
		const move = MOVES[event.key];
		if (event.key === "Escape") close();
		else if (event.key === "Enter" && event.target === frame) look();
		else if (move) change(move[0] * STEP, move[1] * STEP, event.shiftKey);
		else return;
		event.preventDefault();
	}

	async function look() {
		const { naturalWidth: width, naturalHeight: height } = image;
		const box = [part.left * width, part.top * height, part.width * width, part.height * height].map(Math.round);
		ask(await jpeg(await createImageBitmap(image, ...box), 1));
	}

	function close() {
		layer.remove();
		find(".closer", photo).focus();
	}

	const ratio = (image.offsetWidth * image.naturalHeight) / (image.offsetHeight * image.naturalWidth);
	layer.style.inset = [ratio, 1 / ratio].map((share) => `${Math.max(0, 50 - 50 * share)}%`).join(" "); // no bands
	place({ left: 0.25, top: 0.25, width: 0.5, height: 0.5 });
	Object.assign(layer, { onpointerdown: press, onkeydown: type });
	find(".look", layer).onclick = look;
	find(".cancel", layer).onclick = close;
	photo.append(layer);
	frame.focus();
}
