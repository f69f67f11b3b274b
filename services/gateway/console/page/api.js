// Calls of the REST API. The key is held here and nowhere else: in memory, until the page is closed or signed out.

import { update } from "./state.js";

let key = null;
let token = "";
let renewal = 0;

/** An answer that is not a success. status 0: there was no answer. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body.msg);
    Object.assign(this, { status, code: body.code ?? 0, reject: body.reject ?? "" });
  }
}

const onToken = [];

/** Call `told` with each new token, and with "" when there is none any more. */
export const whenToken = (told) => onToken.push(told);
export const currentToken = () => token;

export const get = (path, query = {}) => call("GET", `${path}?${new URLSearchParams(query)}`);
export const post = (path, body) => call("POST", path, body);

async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const options = { method, headers, cache: "no-store", signal: AbortSignal.timeout(20_000) };
  if (body !== undefined) options.body = JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal(0, { msg: "The exchange does not answer." });
  }
  const answer = await response.json().catch(() => ({ msg: `The answer ${response.status} cannot be read.` }));
  if (!response.ok) throw new Refusal(response.status, answer);
  return answer;
}

/** Get a token for this key, and keep it fresh. Raises Refusal. */
export async function signIn(apiKey, secretKey) {
  key = { api_key: apiKey, secret_key: secretKey };
  try {
    await renew();
  } catch (error) {
    signOut();
    throw error;
  }
}

export function signOut() {
  key = null;
  clearTimeout(renewal);
  setToken("");
  update({ caller: null, account: null });
}

/** A new token; also after the feed has said that the old one is no longer good. Raises Refusal. */
export async function renew() {
  if (!key) return;
  token = "";
  const answer = await post("/api/auth/token", key);
  if (!key) return;
  setToken(answer.access_token);
  update({ caller: claims(answer.access_token) });
  clearTimeout(renewal);
  renewal = setTimeout(() => renew().catch(signOut), answer.expires_in * 800);
}

function setToken(fresh) {
  token = fresh;
  for (const told of onToken) told(fresh);
}

function claims(text) {
  const payload = JSON.parse(atob(text.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  return { userId: payload.sub, scopes: (payload.scope ?? "").split(" ").filter(Boolean) };
}
