// A proxy in front of the service that fails as networks and gateways do.
import { createServer, type IncomingMessage, request as send } from "node:http";
import type { AddressInfo } from "node:net";

/** "lost": the service carries the request out, and the answer is lost. Else an answer that the service does not see. */
export type Fault = "lost" | { status: number; headers?: Record<string, string>; body?: string };

export interface Proxy {
  url: string;
  /** The faults of the next requests, in their order. */
  faults: Fault[];
  /** The requests that arrived. */
  requests: { key: string | undefined; at: number }[];
  close(): void;
}

export async function startProxy(service: string): Promise<Proxy> {
  const faults: Fault[] = [];
  const requests: Proxy["requests"] = [];
  const server = createServer(async (incoming, outgoing) => {
    requests.push({ key: incoming.headers["idempotency-key"] as string | undefined, at: Date.now() });
    const fault = faults.shift();
    const body = Buffer.concat(await incoming.toArray());
    if (typeof fault === "object") {
      outgoing.writeHead(fault.status, fault.headers).end(fault.body);
      return;
    }
    const answer = await forward(service, incoming, body);
    if (fault === "lost") {
      answer.resume().on("end", () => incoming.socket.destroy());
      return;
    }
    outgoing.writeHead(answer.statusCode!, answer.headers);
    answer.pipe(outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, faults, requests, close };
}

function forward(service: string, { method, url, headers }: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { method: method!, headers: { ...headers, connection: "close" } };
    send(new URL(url!, service), options, resolve).on("error", reject).end(body);
  });
}
