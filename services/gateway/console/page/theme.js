// Light, dark, or as the system has it. Only this choice is remembered by the browser.

import { byId } from "./dom.js";

const NAME = "exchange-theme";
const THEMES = { auto: ["◐", "as the system has it"], light: ["☀", "light"], dark: ["☾", "dark"] };

export function startTheme(onChange) {
  const button = byId("theme");
  const names = Object.keys(THEMES);
  let theme = names.includes(remembered()) ? remembered() : "auto";

  const show = () => {
    document.documentElement.dataset.theme = theme;
    button.textContent = THEMES[theme][0];
    button.setAttribute("aria-label", `Theme: ${THEMES[theme][1]}`);
    button.title = `Theme: ${THEMES[theme][1]}`;
    onChange();
  };
  button.addEventListener("click", () => {
    theme = names[(names.indexOf(theme) + 1) % names.length];
    try {
      localStorage.setItem(NAME, theme);
    } catch {
      // A browser that remembers nothing still changes the colours.
    }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  show();
}

function remembered() {
  try {
    return localStorage.getItem(NAME) ?? "auto";
  } catch {
    return "auto";
  }
}
