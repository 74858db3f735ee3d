// Write src/generated/ from the OpenAPI document: the argument is its URL or path, by default the document of this repository.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const NOTE = "// Generated from the OpenAPI document by `npm run generate`. Do not edit.\n\n";
const source = process.argv[2] ?? new URL("../../tests/openapi.json", import.meta.url);
const generated = new URL("src/generated/", import.meta.url);

const isUrl = typeof source === "string" && /^https?:/.test(source);
const document = JSON.parse(isUrl ? await (await fetch(source)).text() : await readFile(source, "utf8"));

/** What the client must know of an operation at run time. */
function entry(path, method, { parameters: own = [] }, { parameters: shared = [] }) {
  const headers = [...own, ...shared]
    .map((parameter) => (parameter.$ref ? document.components.parameters[parameter.$ref.split("/").at(-1)] : parameter))
    .filter((parameter) => parameter.in === "header")
    .map((parameter) => parameter.name);
  return { method: method.toUpperCase(), path, takesKey: headers.includes("Idempotency-Key"), takesIfMatch: headers.includes("If-Match") };
}

const entries = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item)
    .filter(([, operation]) => operation.operationId)
    .map(([method, operation]) => [operation.operationId, entry(path, method, operation, item)]),
);
const lines = entries.map(([name, operation]) => `  ${name}: ${JSON.stringify(operation)},\n`);

await mkdir(generated, { recursive: true });
await writeFile(new URL("schema.ts", generated), NOTE + astToString(await openapiTS(document, { defaultNonNullable: false })));
await writeFile(new URL("operations.ts", generated), `${NOTE}export const OPERATIONS = {\n${lines.join("")}} as const;\n`);
