/*
 * Calls one operation of a SOAP service with node's soap, from its WSDL alone.
 *
 *     call.js WSDL_URL OPERATION ARGUMENTS.json
 *
 * ARGUMENTS is a JSON object. In it {"bytes_of": "path"} stands for the bytes of a file and {"base64_of": "path"} for the
 * base64 text of those bytes. This library leaves xs:base64Binary to its caller, so both are encoded once more here. The
 * answer goes to the standard output as JSON, with documents (their outer layer untouched) as {"base64": "..."}; a fault as
 * {"fault": code, "text": ...}.
 */
"use strict";

const fs = require("node:fs");
const soap = require("soap");
const { argument, printable } = require("./values.js");

async function main([wsdl, operation, path]) {
  const client = await soap.createClientAsync(wsdl, { disableCache: true });
  let answer;
  try {
    const [result] = await client[`${operation}Async`](argument(JSON.parse(fs.readFileSync(path, "utf8"))));
    answer = printable(result);
    // zeep, too, hands out what is inside the wrapper.
    if (answer !== null && "return" in answer) answer = answer.return;
  } catch (error) {
    const fault = error.root?.Envelope?.Body?.Fault;
    if (fault === undefined) throw error;
    answer = { fault: fault.faultcode, text: fault.faultstring };
  }
  process.stdout.write(JSON.stringify(answer));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
