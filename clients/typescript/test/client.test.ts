// Run against a running service: CART_URL, by default http://127.0.0.1:8000.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { type Client, createClient, type Result, type Name, type Value } from "../src/client.js";
import { type Proxy, startProxy } from "./proxy.js";

const SERVICE = process.env["CART_URL"] ?? "http://127.0.0.1:8000";
const CUP = { product_id: 42, product_name: "Espresso cup", quantity: 2, price: 19.99 };
const UNAVAILABLE = { status: 503, headers: { "Retry-After": "1", "Content-Type": "application/problem+json" } };
const PROBLEM = JSON.stringify({ type: "urn:cart:problem:unavailable", title: "Not available", status: 503 });

let cart: Client;
let user_id: string;

/** Return the value of a result that must be good. */
function good<N extends Name>(result: Result<N>): Value<N> {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

beforeEach(() => {
  cart = createClient({ baseUrl: SERVICE });
  user_id = `user-${randomUUID()}`;
});

describe("carts", () => {
  test("a cart is read as it was filled, to the cent", async () => {
    good(await cart.addItem({ user_id, body: { ...CUP, quantity: 1, price: 131072.01 } }));
    good(await cart.addItem({ user_id, body: { ...CUP, product_id: 2 ** 53 - 1, quantity: 1, price: 9999999.99 } }));
    const { items, total_items, total_price } = good(await cart.getCart({ user_id }));
    assert.deepEqual(items.map(({ product_id, price }) => [product_id, price]), [[42, 131072.01], [2 ** 53 - 1, 9999999.99]]);
    assert.deepEqual([total_items, total_price], [2, 10131072]);
  });

  test("every change has its own key, and a key that is passed is replayed", async () => {
    good(await cart.addItem({ user_id, body: CUP }));
    const idempotencyKey = randomUUID();
    const first = await cart.addItem({ user_id, body: CUP }, { idempotencyKey });
    const second = await cart.addItem({ user_id, body: CUP }, { idempotencyKey });
    assert.deepEqual([good(first).quantity, good(second).quantity], [4, 4]);
    assert.equal(second.response?.headers.get("Idempotency-Replayed"), "true");
  });

  test("the key of a change through a link is a UUID", async () => {
    const { token } = good(await cart.createShare({ user_id, body: { access: "edit" } }));
    good(await cart.addSharedItem({ token, body: CUP }));
    assert.equal(good(await cart.getSharedCart({ token })).total_items, 2);
  });

  test("a guest's cart is merged", async () => {
    const guest = good(await cart.createGuestCart());
    good(await cart.addItem({ user_id: guest.user_id, body: CUP }));
    const receipt = good(await cart.mergeCarts({ user_id, body: { source_user_id: guest.user_id } }));
    assert.equal(receipt.lines[0]?.product_id, 42);
    assert.equal(good(await cart.getCart({ user_id })).total_items, 2);
    assert.equal(good(await cart.getCart({ user_id: guest.user_id })).total_items, 0);
  });

  test("an answer without a body is undefined", async () => {
    good(await cart.addItem({ user_id, body: CUP }));
    assert.equal(good(await cart.removeItem({ user_id, product_id: 42 })), undefined);
  });
});

describe("ifUnchanged", () => {
  test("a line that was added, or read with its cart, can be set", async () => {
    good(await cart.addItem({ user_id, body: CUP }));
    good(await cart.setQuantity({ user_id, product_id: 42, body: { quantity: 3 } }, { ifUnchanged: true }));
    const reader = createClient({ baseUrl: SERVICE });
    good(await reader.getCart({ user_id }));
    const line = good(await reader.setQuantity({ user_id, product_id: 42, body: { quantity: 4 } }, { ifUnchanged: true }));
    assert.equal(line.quantity, 4);
    good(await cart.removeItem({ user_id, product_id: 42 }, { ifUnchanged: `"${line.version}"` }));
  });

  test("a line that was changed by another is a typed problem with the current line", async () => {
    good(await cart.addItem({ user_id, body: CUP }));
    good(await createClient({ baseUrl: SERVICE }).setQuantity({ user_id, product_id: 42, body: { quantity: 7 } }));
    const result = await cart.setQuantity({ user_id, product_id: 42, body: { quantity: 3 } }, { ifUnchanged: true });
    assert.ok(!result.ok && result.problem.type === "urn:cart:problem:version-conflict");
    assert.equal((result.problem.current as { quantity?: number } | null)?.quantity, 7);
  });

  test("a saved line and the cart have ETags too", async () => {
    good(await cart.addItem({ user_id, body: CUP }));
    good(await cart.saveForLater({ user_id, product_id: 42 }));
    good(await cart.removeSaved({ user_id, product_id: 42 }, { ifUnchanged: true }));
    good(await cart.addItem({ user_id, body: CUP }));
    good(await cart.getCart({ user_id }));
    good(await cart.acceptPriceChanges({ user_id, body: {} }, { ifUnchanged: true }));
    good(await cart.clearCart({ user_id }, { ifUnchanged: true }));
  });

  test("what was not read cannot be compared", async () => {
    await assert.rejects(cart.clearCart({ user_id }, { ifUnchanged: true }), /was not read/);
  });
});

describe("problems", () => {
  test("a limit is a typed problem", async () => {
    const result = await cart.addItem({ user_id, body: { ...CUP, quantity: 999 } });
    good(result);
    const second = await cart.addItem({ user_id, body: CUP });
    assert.ok(!second.ok && second.problem.type === "urn:cart:problem:quantity-limit");
    const { limit, quantity, status } = second.problem;
    assert.deepEqual([limit, quantity, status], [999, 999, 409]);
  });

  test("the compiler knows the fields", async () => {
    // @ts-expect-error: `amount` is no field
    const result = await cart.setQuantity({ user_id, product_id: 42, body: { amount: 1 } });
    assert.ok(!result.ok && result.problem.type === "urn:cart:problem:invalid-input");
    assert.deepEqual(Object.keys(result.problem.errors ?? {}).sort(), ["amount", "quantity"]);
    // @ts-expect-error: a PUT takes no key
    const options: Parameters<Client["setQuantity"]>[1] = { idempotencyKey: "a" };
    assert.ok(options);
  });
});

describe("behind a proxy that fails", () => {
  let proxy: Proxy;
  let front: Client;
  before(async () => {
    proxy = await startProxy(SERVICE);
  });
  after(() => proxy.close());
  beforeEach(() => {
    proxy.faults.length = proxy.requests.length = 0;
    front = createClient({ baseUrl: proxy.url, attempts: 3 });
  });
  const keys = () => new Set(proxy.requests.map(({ key }) => key));

  test("an add whose answer is lost is repeated with its key, and counted once", async () => {
    proxy.faults.push("lost", "lost");
    const result = await front.addItem({ user_id, body: CUP });
    assert.equal(good(result).quantity, 2);
    assert.equal(result.response?.headers.get("Idempotency-Replayed"), "true");
    assert.equal(proxy.requests.length, 3);
    assert.equal(keys().size, 1);
  });

  test("a merge whose answer is lost is repeated", async () => {
    const guest = good(await cart.createGuestCart());
    good(await cart.addItem({ user_id: guest.user_id, body: CUP }));
    proxy.faults.push("lost");
    const receipt = good(await front.mergeCarts({ user_id, body: { source_user_id: guest.user_id } }));
    assert.equal(receipt.lines.length, 1);
  });

  test("a 503 is repeated after Retry-After with the same key", async () => {
    proxy.faults.push(UNAVAILABLE);
    assert.equal(good(await front.addItem({ user_id, body: CUP })).quantity, 2);
    const [first, second] = proxy.requests;
    assert.ok(second!.at - first!.at >= 990, "it waited for Retry-After");
    assert.equal(keys().size, 1);
  });

  test("it gives up after the attempts", async () => {
    const problem = { ...UNAVAILABLE, headers: { ...UNAVAILABLE.headers, "Retry-After": "0" }, body: PROBLEM };
    proxy.faults.push(problem, problem, problem);
    const result = await front.getCart({ user_id });
    assert.ok(!result.ok && result.problem.type === "urn:cart:problem:unavailable");
    assert.equal(proxy.requests.length, 3);
  });

  test("it does not wait longer than allowed", async () => {
    const inAnHour = new Date(Date.now() + 3600_000).toUTCString();
    for (const value of ["3600", inAnHour]) {
      proxy.faults.push({ ...UNAVAILABLE, headers: { ...UNAVAILABLE.headers, "Retry-After": value }, body: PROBLEM });
      const result = await front.getCart({ user_id });
      assert.ok(!result.ok && result.problem.type === "urn:cart:problem:unavailable");
    }
    assert.equal(proxy.requests.length, 2);
  });

  test("no answer at all is a problem", async () => {
    proxy.faults.push("lost", "lost", "lost");
    const result = await front.setQuantity({ user_id, product_id: 42, body: { quantity: 1 } });
    assert.ok(!result.ok && result.problem.type === "no-answer");
  });

  test("a POST that takes no key is repeated only if nothing was changed", async () => {
    proxy.faults.push({ status: 429, headers: { "Retry-After": "0" } }, "lost");
    const result = await front.createShare({ user_id, body: { access: "view" } });
    assert.ok(!result.ok && result.problem.type === "no-answer");
    assert.equal(proxy.requests.length, 2);
    assert.equal(good(await cart.listShares({ user_id })).shares.length, 1);
  });

  test("a gateway's own error is told apart", async () => {
    proxy.faults.push({ status: 403, headers: { "Content-Type": "application/json" }, body: '{"message": "Forbidden"}' });
    const result = await front.getCart({ user_id });
    assert.deepEqual(!result.ok && result.problem, { type: "about:blank", title: "Forbidden", status: 403 });
  });

  test("an aborted call ends while it waits", async () => {
    proxy.faults.push({ ...UNAVAILABLE, headers: { ...UNAVAILABLE.headers, "Retry-After": "20" }, body: PROBLEM });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    await assert.rejects(front.getCart({ user_id }, { signal: controller.signal }), { name: "AbortError" });
  });
});
