// Requests to the service, by relative URLs, which also work below a prefix; and its errors.

// Kept in memory only: an admin token can read and change every cart, and Swagger UI shares this origin's storage.
let token = null;

/** An error response: `status` (0 if there was no response), `message` (its title), `detail`, `requestId`. */
export class ApiError extends Error {
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
 * Request figures as JSON.
 * @param {string} path below `/analytics/`
 * @param {Record<string, string | number>} parameters
 * @param {AbortSignal} signal
 * @returns {Promise<any>} the parsed JSON
 * @throws {ApiError}
 */
export async function read(path, parameters, signal) {
  return (await request(path, parameters, "application/json", signal)).json();
}

/** Save figures as a CSV file. A plain link could not send the token. */
export async function download(path, parameters) {
  const response = await request(path, parameters, "text/csv");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `${[path, ...Object.values(parameters)].join("-")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function request(path, parameters, accept, signal) {
  const headers = { Accept: accept, ...(token && { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(`analytics/${path}?${new URLSearchParams(parameters)}`, { headers, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new ApiError(0, { title: "The service cannot be reached", detail: "Check your network connection." });
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new ApiError(response.status, { instance: response.headers.get("X-Request-ID"), ...problem });
  }
  return response;
}
