// The ETags of the lines and carts that were read, by their paths.

const KEPT = 1000; // for a process that serves many carts; the oldest is forgotten first

/** Actions below a cart whose answer and `If-Match` are the cart's. */
const CART_ACTION = /\/price-changes\/accept$/;

export class ETags {
  #byPath = new Map<string, string>();

  /** @throws Error if it was not read: then there is nothing to compare it with */
  get(url: string): string {
    const path = pathOf(url).replace(CART_ACTION, "");
    const etag = this.#byPath.get(path);
    if (etag === undefined) throw new Error(`ifUnchanged: ${path} was not read by this client`);
    return etag;
  }

  /** Remember the ETag of an answer, and those of the lines in it. */
  remember(url: string, response: Response, value: unknown): void {
    const path = pathOf(response.headers.get("Location") ?? url, url).replace(CART_ACTION, "");
    this.#set(path, response.headers.get("ETag"));
    const lines = path.endsWith("/saved") ? path : `${path}/items`;
    for (const line of (value as { items?: { product_id?: number; version?: number }[] } | undefined)?.items ?? []) {
      if (line.version !== undefined) this.#set(`${lines}/${line.product_id}`, `"${line.version}"`);
    }
  }

  #set(path: string, etag: string | null): void {
    if (etag === null) return;
    this.#byPath.delete(path);
    this.#byPath.set(path, etag);
    if (this.#byPath.size > KEPT) this.#byPath.delete(this.#byPath.keys().next().value!);
  }
}

function pathOf(url: string, base?: string): string {
  return decodeURIComponent(new URL(url, base).pathname);
}
