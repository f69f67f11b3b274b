// Short messages in the corner. They are also read out: good news when there is time, bad news at once.

import { byId, make } from "./dom.js";

const SHOWN_MS = { good: 6_000, bad: 12_000, info: 6_000 };
const MARKS = { good: "✓", bad: "✕", info: "i" };
const MOST = 3;

/** kind: good, bad or info. */
export function toast(kind, title, text = "") {
  const list = byId("toasts");
  const close = make("button", { type: "button", "aria-label": "Close this message", click: () => box.remove() }, "×");
  const box = make(
    "div",
    { class: "toast", "data-kind": kind },
    make("span", { class: "mark", "aria-hidden": "true" }, MARKS[kind]),
    make("strong", {}, title),
    close,
    text ? make("p", {}, text) : null,
  );
  list.append(box);
  while (list.children.length > MOST) list.firstElementChild.remove();
  setTimeout(() => box.remove(), SHOWN_MS[kind]);
  byId(kind === "bad" ? "shout" : "say").textContent = text ? `${title}. ${text}` : title;
}
