// The scenario of test_clients.py with openapi-generator's typescript-fetch.
import { AnalyticsApi, CartsApi, ResponseError } from "./client/index.js";
import { LineVersionConflictProblemFromJSON, QuantityLimitProblemFromJSON } from "./client/models/index.js";

const userId = process.argv[3]!;
const LARGEST_ID = Number.MAX_SAFE_INTEGER;
const carts = new CartsApi();

async function problemOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ResponseError) return error.response.json();
    throw error;
  }
  throw new Error("it was not refused");
}

const guest = (await carts.createGuestCart()).userId;
const add = (productId: number, quantity: number, price: number, idempotencyKey?: string) =>
  carts.addItem({
    userId: guest,
    item: { productId, productName: "Espresso cup", quantity, price },
    ...(idempotencyKey && { idempotencyKey }),
  });
const set = (quantity: number, ifMatch: string) =>
  carts.setQuantity({ userId: guest, productId: 42, quantityRequest: { quantity }, ifMatch });

await add(42, 1, 131072.01);
await add(LARGEST_ID, 1, 9999999.99);
const cart = await carts.getCart({ userId: guest });
const etag = `"${cart.items[0]!.version}"`;
const { quantity } = await set(3, etag);
const conflict = LineVersionConflictProblemFromJSON(await problemOf(set(4, etag)));
const limit = QuantityLimitProblemFromJSON(await problemOf(add(42, 999, 131072.01)));
const repeats = [await add(LARGEST_ID, 1, 9999999.99, "key-1"), await add(LARGEST_ID, 1, 9999999.99, "key-1")];
const receipt = await carts.mergeCarts({ userId, mergeRequest: { sourceUserId: guest } });
const summary = await new AnalyticsApi().getSummary();

console.log(
  JSON.stringify({
    ids: cart.items.map((line) => String(line.productId)),
    prices: cart.items.map((line) => line.price.toFixed(2)),
    total: cart.totalPrice.toFixed(2),
    set: quantity,
    conflict: conflict.current?.quantity,
    limit: limit.limit,
    repeats: repeats.map((line) => line.quantity),
    merged: [receipt.lines.length, receipt.cart.totalPrice.toFixed(2)],
    units: summary.totals.units,
  }),
);
