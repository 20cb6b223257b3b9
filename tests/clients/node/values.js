/* JSON to what node's soap takes, and back: see call.js. */
"use strict";

const fs = require("node:fs");

// The elements of type xs:base64Binary.
const BINARY = new Set(["bpdfdoc", "bcarstd"]);

function argument(value) {
  if (Array.isArray(value)) return value.map(argument);
  if (value === null || typeof value !== "object") return value;
  if ("bytes_of" in value) return fs.readFileSync(value.bytes_of).toString("base64");
  if ("base64_of" in value) {
    return Buffer.from(fs.readFileSync(value.base64_of).toString("base64")).toString("base64");
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, argument(item)]));
}

function printable(value, name) {
  if (BINARY.has(name) && typeof value === "string") return { base64: value.replace(/\s/g, "") };
  if (Array.isArray(value)) return value.map((item) => printable(item));
  if (value === null || typeof value !== "object" || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, printable(item, key)]));
}

module.exports = { argument, printable };
