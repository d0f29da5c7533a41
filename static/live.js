/* The live camera: one frame under way at a time, the next after its answer. The site keeps none of them. */

const later = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const readable = (label) => label.replaceAll("_", " ");

/* Show in `card` what the camera sees and what the site says of it; `keep` gets the frame to be kept. */
export function watch(card, site, side, keep) {
  const [video, state, off] = ["video", ".state", ".off"].map((part) => card.querySelector(part));
  const canvas = document.createElement("canvas");
  let stream;

  function frame() {
    const scale = Math.min(1, side / Math.min(video.videoWidth, video.videoHeight));
    [canvas.width, canvas.height] = [video.videoWidth * scale, video.videoHeight * scale];
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.8));
  }

  async function ask() {
    const body = new FormData();
    body.append("fileImage", await frame(), "camera.jpg");
    body.append("keep", "0");
    const response = await fetch(site, { method: "POST", body, headers: { Accept: "application/json" } });
    if (!response.ok) return later(response.headers.get("Retry-After") ?? 2);
    const { predictions, sure } = (await response.json()).results[0];
    if (stream) show(predictions, sure);
  }

  function show(predictions, sure) {
    state.textContent = readable(predictions[0].label) + (sure === false ? "?" : "");
    card.querySelectorAll("li").forEach((line, place) => {
      const { label, score } = predictions[place];
      line.querySelector(".label").textContent = readable(label);
      line.querySelector(".num").textContent = `${(100 * score).toFixed(2)}%`;
      line.querySelector("progress").value = score;
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
    while (stream === mine && card.isConnected) await ask().catch(() => later(2));
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
  card.querySelector(".keep").onclick = () => frame().then(keep);
  document.addEventListener("visibilitychange", () => document.hidden && end());
  begin();
}
