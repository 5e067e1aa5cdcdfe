// What a page does by itself: the map's classes, and how near it is looked at. Everything else is the server's.
"use strict";
const ganglion = (() => {
  const svg = () => document.getElementById("map");
  let box = null; // what of the map is seen: x, y, width, height

  const whole = () => svg().dataset.whole.split(" ").map(Number);
  const look = (next) => {
    box = next;
    svg().setAttribute("viewBox", next.map((n) => n.toFixed(1)).join(" "));
  };
  const begin = () => {
    const map = svg();
    if (!map || map.dataset.whole) return;
    map.dataset.whole = map.getAttribute("viewBox");
    box = whole();
    let from = null;
    map.addEventListener("pointerdown", (e) => { from = [e.clientX, e.clientY, ...box]; });
    window.addEventListener("pointerup", () => { from = null; });
    map.addEventListener("pointermove", (e) => {
      if (!from || !e.buttons || Math.hypot(e.clientX - from[0], e.clientY - from[1]) < 5) return;
      const scale = from[4] / map.clientWidth;
      look([from[2] - (e.clientX - from[0]) * scale, from[3] - (e.clientY - from[1]) * scale, from[4], from[5]]);
    });
    map.addEventListener("wheel", (e) => {
      if (!e.ctrlKey) return; // without it the page scrolls
      e.preventDefault();
      zoom(e.deltaY > 0 ? 1.2 : 0.83);
    }, { passive: false });
  };
  const zoom = (factor) => {
    begin();
    const [x, y, w, h] = box;
    if (w * factor >= whole()[2]) look(whole());
    else look([x + (w * (1 - factor)) / 2, y + (h * (1 - factor)) / 2, w * factor, h * factor]);
  };
  return {
    begin,
    zoom,
    whole: () => { begin(); look(whole()); },
    // Of each element: its state, its sign, and its name for who does not see it.
    states: (changed) => {
      for (const [id, [state, sign, name]] of Object.entries(changed)) {
        const node = document.getElementById(id);
        if (!node) continue;
        node.setAttribute("class", `node s-${state}`);
        node.setAttribute("tabindex", state === "ok" ? "-1" : "0");
        node.setAttribute("aria-label", name);
        node.querySelector("title").textContent = name;
        node.querySelector("text").textContent = sign;
      }
    },
    map: (text) => {
      const seen = box;
      svg().outerHTML = text;
      begin();
      if (seen) look(seen);
    },
  };
})();
document.addEventListener("pointerover", ganglion.begin);
// Where a page wants its map: it came with the page, drawn.
customElements.define("ganglion-map", class extends HTMLElement {
  connectedCallback() {
    this.append(document.getElementById("map-drawn").content);
  }
});
