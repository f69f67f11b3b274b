// The dialog for a key, and the button that shows who is signed in.

import { signIn, signOut } from "./api.js";
import { byId, make, setText } from "./dom.js";
import { state, watch } from "./state.js";
import { toast } from "./toasts.js";
import { inWords } from "./words.js";

const dialog = byId("sign-in");
const button = byId("account-button");

export function startSignIn() {
  button.addEventListener("click", () => (state.caller ? leave() : openSignIn()));
  byId("sign-in-close").addEventListener("click", () => dialog.close());
  byId("sign-in-form").addEventListener("submit", enter);
  dialog.addEventListener("close", () => {
    byId("secret-key").value = "";
    setText(byId("sign-in-note"), "");
  });
  watch(["caller"], show);
}

export function openSignIn() {
  if (!dialog.open) dialog.showModal();
  byId("api-key").focus();
}

function show() {
  const user = state.caller && make("span", { class: "wide-only" }, `${state.caller.userId} · `);
  button.replaceChildren(...(user ? [user, "Sign out"] : ["Sign in"]));
  button.title = state.caller ? `User ${state.caller.userId}; may ${state.caller.scopes.join(", ") || "nothing"}` : "";
}

function leave() {
  signOut();
  byId("api-key").value = "";
  toast("info", "Signed out", "This page has forgotten the key.");
}

async function enter(event) {
  event.preventDefault();
  const [key, secret] = [byId("api-key").value.trim(), byId("secret-key").value.trim()];
  if (!key || !secret) {
    setText(byId("sign-in-note"), "Paste both: the API key and its secret.");
    return;
  }
  try {
    await signIn(key, secret);
  } catch (error) {
    const wrong = error.status === 401 ? "This key and secret do not fit each other. Check that both were copied whole." : inWords(error);
    setText(byId("sign-in-note"), wrong);
    return;
  }
  dialog.close();
  const may = state.caller.scopes.includes("trade") ? "You can trade now." : "This key may look, but not trade.";
  toast("good", `Signed in as user ${state.caller.userId}`, may);
}
