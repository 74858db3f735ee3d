// What is asked of the service, by addresses that hold under any prefix, and what its refusals mean.

// In memory alone: whoever has it may read and change every cart, and Swagger UI shares this origin and its storage.
let token = null;

/** An answer that is none of those hoped for: `status`, `title`, `detail`, `requestId`; status 0 where none came. */
export class Refused extends Error {
  constructor(status, { title, detail, instance, errors } = {}) {
    super(title ?? "The service gave an answer that cannot be read");
    this.status = status;
    this.detail = Object.entries(errors ?? {}).map(([field, messages]) => `${field}: ${messages.join(" ")}`).join(" ")
      || (detail === title ? "" : detail) || "";
    this.requestId = instance;
  }
}

export function signIn(text) {
  token = text.trim().replace(/^bearer\s+/i, "") || null;
}

export const isSignedIn = () => token !== null;

/**
 * @param {string} path below `/analytics/`
 * @param {Record<string, string | number>} parameters
 * @returns {Promise<any>} the answer's JSON
 */
export async function read(path, parameters, signal) {
  return (await ask(path, parameters, "application/json", signal)).json();
}

/** Save an answer as a file; a plain link could not carry the token. */
export async function download(path, parameters) {
  const answer = await ask(path, parameters, "text/csv");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = `${[path, ...Object.values(parameters)].join("-")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function ask(path, parameters, accept, signal) {
  const headers = { Accept: accept, ...(token && { Authorization: `Bearer ${token}` }) };
  let answer;
  try {
    answer = await fetch(`analytics/${path}?${new URLSearchParams(parameters)}`, { headers, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new Refused(0, { title: "The service cannot be reached", detail: "Check your network connection." });
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, { instance: answer.headers.get("X-Request-ID"), ...problem });
  }
  return answer;
}
