// A client of the Cart service. Each operation of its OpenAPI document is a method: `cart.addItem({ user_id, body })`.
import createFetchClient from "openapi-fetch";
import { ETags } from "./etags.js";
import { OPERATIONS } from "./generated/operations.js";
import type { paths } from "./generated/schema.js";
import { AnswerLost, type Retries, sendWithRetries } from "./retries.js";
import type { AnyOptions, Client, Name } from "./types.js";

export type { components } from "./generated/schema.js";
export type * from "./types.js";

export interface Settings extends Retries {
  /** The address of the service, with the stage where the path has one: `https://shop.example/dev`. */
  baseUrl: string;
  /** The bearer token, or a function that returns the current one. */
  token?: string | (() => string | Promise<string>);
  fetch?: (request: Request, init: RequestInit) => Promise<Response>;
}

/** Return a client that remembers the ETags of what it reads. */
export function createClient({ baseUrl, token, fetch = globalThis.fetch, ...retries }: Settings): Client {
  const http = createFetchClient<paths>({ baseUrl });
  const etags = new ETags();

  async function call(name: Name, { body, ...parameters }: { body?: unknown } = {}, options: AnyOptions = {}) {
    const { method, path, takesKey, takesIfMatch } = OPERATIONS[name];
    const headers: Record<string, string> = { Accept: "application/json, application/problem+json", ...options.headers };
    if (token) headers["Authorization"] = `Bearer ${typeof token === "function" ? await token() : token}`;
    if (takesKey) headers["Idempotency-Key"] = `"${options.idempotencyKey ?? randomKey()}"`;
    let url = "";

    async function send(request: Request): Promise<Response> {
      url = request.url;
      const { ifUnchanged } = options;
      if (takesIfMatch && ifUnchanged) request.headers.set("If-Match", ifUnchanged === true ? etags.get(url) : ifUnchanged);
      return sendWithRetries(request, takesKey || method !== "POST", fetch, retries);
    }

    try {
      const init = { params: separate(path, parameters), headers, body, signal: options.signal ?? null, fetch: send };
      // The types of openapi-fetch follow from a literal path; here they follow from the operation's name
      const { data, error, response } = await http.request(method.toLowerCase() as "get", path as never, init as never);
      if (response.ok) {
        etags.remember(url, response, data);
        return { ok: true, value: data, response };
      }
      const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
      const problem = isProblem ? error : { type: "about:blank", title: response.statusText, status: response.status };
      return { ok: false, problem, response };
    } catch (error) {
      if (!(error instanceof AnswerLost)) throw error;
      return { ok: false, problem: { type: "no-answer", title: "No answer arrived", detail: error.message } };
    }
  }

  const names = Object.keys(OPERATIONS) as Name[];
  return Object.fromEntries(names.map((name) => [name, call.bind(undefined, name)])) as unknown as Client;
}

/** Separate the parameters of the path from those of the query. */
function separate(path: string, parameters: object) {
  const entries = Object.entries(parameters);
  const inPath = ([name]: [string, unknown]) => path.includes(`{${name}}`);
  return {
    path: Object.fromEntries(entries.filter(inPath)),
    query: Object.fromEntries(entries.filter((entry) => !inPath(entry))),
  };
}

/** Return a random UUID, as version 4 of RFC 9562. Unlike `randomUUID`, this also works on pages without HTTPS. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
