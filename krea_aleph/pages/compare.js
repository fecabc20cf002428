/* The page of one comparison: its clips are in the page itself, or where the page says. */

function unpacked(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
}

/* Return the address of a clip that the page holds; its text is let go of piece by piece. */
function unwrapped(side, type) {
  const pieces = [];
  for (const holder of document.querySelectorAll(`script[data-clip="${side}"]`)) {
    pieces.push(unpacked(holder.textContent));
    holder.remove();
  }
  return URL.createObjectURL(new Blob(pieces, { type }));
}

function main() {
  const clips = JSON.parse(document.getElementById('clips').textContent);
  for (const [side, clip] of Object.entries(clips)) clip.src = clip.link ?? unwrapped(side, clip.type);
  const player = new Player(document.querySelector('.player'));
  document.addEventListener('keydown', (event) => player.key(event));
  player.load(clips.before, clips.after);
}

main();
