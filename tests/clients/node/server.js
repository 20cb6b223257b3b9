/*
 * The platform's three services, answered by node's soap from the published descriptions.
 *
 *     server.js PORT FOLDER
 *
 * FOLDER/OPERATION.json is what an operation answers, in the form that call.js describes; each call is added to
 * FOLDER/calls as a line of JSON, {"operation", "arguments"}.
 */
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const soap = require("soap");
const { argument, printable } = require("./values.js");

const [port, folder] = process.argv.slice(2);

function operation(name) {
  return (args) => {
    const line = JSON.stringify({ operation: name, arguments: printable(args) });
    fs.appendFileSync(path.join(folder, "calls"), `${line}\n`);
    const answer = JSON.parse(fs.readFileSync(path.join(folder, `${name}.json`), "utf8"));
    return { return: argument(answer) };
  };
}

const server = http.createServer((request, response) => {
  response.statusCode = 404;
  response.end();
});
server.listen(Number(port), "127.0.0.1", () => {
  for (const name of ["PcmCuo", "PcmIMgdEntidad", "PcmIMgdTramite"]) {
    const file = path.join(__dirname, "../../../wsdl/production", `${name}.wsdl`);
    const xml = fs.readFileSync(file, "utf8").replace("{address}", `http://127.0.0.1:${port}/services/${name}`);
    const [, service] = xml.match(/<service name="([^"]+)"/);
    const [, endpoint] = xml.match(/<port name="([^"]+)"/);
    const names = [...xml.matchAll(/<operation name="([^"]+)"/g)].map((match) => match[1]);
    const operations = Object.fromEntries(names.map((each) => [each, operation(each)]));
    soap.listen(server, { path: `/services/${name}`, services: { [service]: { [endpoint]: operations } }, xml });
  }
});
