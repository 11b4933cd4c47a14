// Holds answers against the runtime schemas of @nktkas/hyperliquid.
// In: one JSON object a line, {name: "UserFillsResponse", data}. Out: one line each, {name, issues: [...]}.
import * as info from "@nktkas/hyperliquid/api/info";
import * as subscription from "@nktkas/hyperliquid/api/subscription";
import * as exchange from "@nktkas/hyperliquid/api/exchange";
import * as v from "valibot";
import { createInterface } from "node:readline";

const schemas = { ...info, ...subscription, ...exchange };
for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  const { name, data } = JSON.parse(line);
  const schema = schemas[name];
  if (!schema) {
    console.log(JSON.stringify({ name, issues: ["no such schema"] }));
    continue;
  }
  const result = v.safeParse(schema, data);
  const issues = (result.issues ?? []).map((issue) => {
    const deepest = v.flatten([issue]);
    return `${v.getDotPath(issue) ?? ""}: ${issue.message} ${JSON.stringify(deepest.nested ?? {})}`.slice(0, 400);
  });
  console.log(JSON.stringify({ name, issues }));
}
