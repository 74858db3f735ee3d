// The scenario of test_clients.py with openapi-typescript's types and openapi-fetch.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [url, user_id] = process.argv.slice(2) as [string, string];
const LARGEST_ID = Number.MAX_SAFE_INTEGER;
const api = createClient<paths, "application/json" | "application/problem+json">({ baseUrl: url });

function good<T>({ data, error }: { data?: T; error?: unknown }): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

const guest = good(await api.POST("/cart")).user_id;
const path = { user_id: guest };
const add = (product_id: number, quantity: number, price: number, key?: string) =>
  api.POST("/cart/{user_id}/items", {
    params: { path, ...(key && { header: { "Idempotency-Key": key } }) },
    body: { product_id, product_name: "Espresso cup", quantity, price },
  });
const set = (quantity: number, etag: string) =>
  api.PUT("/cart/{user_id}/items/{product_id}", {
    params: { path: { user_id: guest, product_id: 42 }, header: { "If-Match": etag } },
    body: { quantity },
  });

good(await add(42, 1, 131072.01));
good(await add(LARGEST_ID, 1, 9999999.99));
const cart = good(await api.GET("/cart/{user_id}", { params: { path } }));
const etag = `"${cart.items[0]!.version}"`;
const { quantity } = good(await set(3, etag));
const { error: conflict } = await set(4, etag);
if (conflict?.type !== "urn:cart:problem:version-conflict") throw new Error(JSON.stringify(conflict));
const { error: limit } = await add(42, 999, 131072.01);
if (limit?.type !== "urn:cart:problem:quantity-limit") throw new Error(JSON.stringify(limit));
const repeats = [good(await add(LARGEST_ID, 1, 9999999.99, "key-1")), good(await add(LARGEST_ID, 1, 9999999.99, "key-1"))];
const receipt = good(
  await api.POST("/cart/{user_id}/merge", { params: { path: { user_id } }, body: { source_user_id: guest } }),
);
const summary = good(await api.GET("/analytics/summary"));

console.log(
  JSON.stringify({
    ids: cart.items.map((line) => String(line.product_id)),
    prices: cart.items.map((line) => line.price.toFixed(2)),
    total: cart.total_price.toFixed(2),
    set: quantity,
    conflict: conflict.current?.quantity,
    limit: limit.limit,
    repeats: repeats.map((line) => line.quantity),
    merged: [receipt.lines.length, receipt.cart.total_price.toFixed(2)],
    units: summary.totals.units,
  }),
);
