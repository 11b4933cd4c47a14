// Holds frames to the stream's JSON Schema: node check.mjs SCHEMA FRAMES (one JSON object a line). Says what is wrong.
import { readFileSync } from "node:fs";
import Ajv2020 from "ajv/dist/2020.js";

const [schema, frames] = process.argv.slice(2).map((name) => readFileSync(name, "utf8"));
const ajv = new Ajv2020({ allErrors: true, strict: true, strictTypes: false, validateFormats: false });
const valid = ajv.compile(JSON.parse(schema));
let wrong = 0;
for (const line of frames.split("\n").filter(Boolean)) {
  if (valid(JSON.parse(line))) continue;
  wrong += 1;
  console.error(line.slice(0, 300), JSON.stringify(valid.errors).slice(0, 600));
}
process.exit(wrong ? 1 : 0);
