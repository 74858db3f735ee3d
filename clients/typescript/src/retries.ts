// Send a request again if it was refused for a time or its answer was lost.

export interface Retries {
  /** How often a request is sent at most; default 4. */
  attempts?: number;
  /** How long one answer is waited for; default 15. */
  timeoutSeconds?: number;
  /** If `Retry-After` is longer, the problem is returned at once; default 20. */
  maxWaitSeconds?: number;
}

/** The request was sent as often as allowed, and no answer arrived. */
export class AnswerLost extends Error {}

const THROTTLED = 429; // nothing was changed
const UNCERTAIN = [502, 503, 504]; // a change may have been made

/**
 * @param repeatable whether sending the request twice changes no more than sending it once
 * @throws AnswerLost, or the reason of the request's own signal if that is aborted
 */
export async function sendWithRetries(
  request: Request,
  repeatable: boolean,
  fetch: (request: Request, init: RequestInit) => Promise<Response>,
  { attempts = 4, timeoutSeconds = 15, maxWaitSeconds = 20 }: Retries,
): Promise<Response> {
  for (let attempt = 1; ; attempt += 1) {
    let waitSeconds = 0.2 * 2 ** attempt * (0.5 + Math.random() / 2);
    try {
      const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutSeconds * 1000)]);
      const response = await fetch(request.clone(), { signal });
      const body = await response.arrayBuffer(); // an answer can also be lost in its middle
      const answer = new Response(body.byteLength ? body : null, response);
      const again = response.status === THROTTLED || (repeatable && UNCERTAIN.includes(response.status));
      waitSeconds = retryAfterSeconds(response) ?? waitSeconds;
      if (!again || attempt >= attempts || waitSeconds > maxWaitSeconds) return answer;
    } catch (error) {
      request.signal.throwIfAborted();
      if (!repeatable || attempt >= attempts) throw new AnswerLost(String(error), { cause: error });
    }
    await sleep(waitSeconds, request.signal);
  }
}

/** Return the seconds of `Retry-After`, which can also be a date; `undefined` if it says nothing. */
function retryAfterSeconds(response: Response): number | undefined {
  const value = response.headers.get("Retry-After");
  if (value === null) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(end, seconds * 1000);
    signal.addEventListener("abort", abort, { once: true });
    function end() {
      signal.removeEventListener("abort", abort);
      resolve();
    }
    function abort() {
      clearTimeout(timer);
      reject(signal.reason);
    }
  });
}
