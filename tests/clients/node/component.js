/*
 * An entity's component, answered by node's soap from the published description: somebody else's honest work, for the
 * conformance suite to judge.
 *
 *     component.js PORT RUC
 */
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const soap = require("soap");

const [port, ruc] = process.argv.slice(2);
const texts = JSON.parse(fs.readFileSync(path.join(__dirname, "../component.json"), "utf8"));
const stored = new Map();
const cuos = new Set();

const text = (value) => {
  if (value instanceof Date) return value.toISOString();
  const plain = value !== null && typeof value === "object" ? (value.$value ?? "") : (value ?? "");
  return String(plain).trim();
};
const length = (value) => [...value].length;
const answer = (code, words) => ({ return: { vcodres: code, vdesres: words } });

function pdf(value) {
  if (value === "") return texts.pdf[0];
  const clean = (t) => t.replace(/\s+/g, "");
  const base64 = (t) => /^[A-Za-z0-9+/]*={0,2}$/.test(t) && t.length % 4 === 0;
  const is = (bytes) => bytes.subarray(0, 1024).includes("%PDF");
  if (!base64(clean(value))) return texts.pdf[1];
  const outer = Buffer.from(clean(value), "base64");
  if (is(outer)) return null;
  const inner = clean(outer.toString("latin1"));
  if (!base64(inner)) return texts.pdf[2];
  return is(Buffer.from(inner, "base64")) ? null : texts.pdf[2];
}

function judge(r) {
  const of = (name) => text(r[name]);
  for (const [name, words] of [["vrucentrem", texts.remitente], ["vrucentrec", texts.receptora]]) {
    if (of(name) === "") return words[0];
    if (!/^\d{11}$/.test(of(name))) return words[1];
  }
  if (of("vrucentrec") !== ruc) return texts.receptora[2];
  for (const [name, max, missing, long] of texts.textos) {
    if (of(name) === "") return missing;
    if (length(of(name)) > max) return long;
  }
  const person = { 1: [/^\d{8}$/, texts.dni], 2: [/^\d{9}$/, texts.carne] }[of("ctipdociderem")];
  if (!person) return texts.tipo_identidad;
  if (!person[0].test(of("vnumdociderem"))) return person[1];
  if (Date.parse(of("dfecdoc")) > Date.now() + 300_000) return texts.futura;
  const document = pdf(of("bpdfdoc"));
  if (document) return document;
  const sheets = Number(of("snumfol"));
  if (!(sheets >= 1)) return texts.folios[0];
  if (sheets > 99999) return texts.folios[1];
  const list = [r.lstanexos ?? []].flat().filter((annex) => annex && annex.vnomdoc !== undefined);
  const stated = Number(of("snumanx"));
  if (stated > 0 && list.length === 0) return texts.anexos[2];
  if (stated !== list.length) return texts.anexos[stated < list.length ? 0 : 1];
  if (stated > 0 && of("vurldocanx") === "") return texts.url[0];
  if (length(of("vurldocanx")) > 200) return texts.url[1];
  for (const annex of list) {
    const name = text(annex.vnomdoc);
    if (name === "" || length(name) > 100) return texts.anexo[name === "" ? 0 : 1];
  }
  if (of("vcuo") === "") return texts.cuo[0];
  if (!/^\d{1,10}$/.test(of("vcuo"))) return texts.cuo[1];
  if (of("vcuoref") !== "" && !/^\d{1,10}$/.test(of("vcuoref"))) return texts.cuo[2];
  return null;
}

const fault = (words) => ({ Fault: { faultcode: "soap:Client", faultstring: words, statusCode: 500 } });

const operations = {
  recepcionarTramiteResponse: (args) => {
    const r = args?.recepcionRequest ?? args?.request;
    if (!r) throw fault("Falta recepcionRequest");
    const wrong = judge(r);
    if (wrong) return answer("0003", wrong);
    const key = `${text(r.vrucentrem)} ${text(r.vcuo)}`;
    const said = JSON.stringify(r);
    if (stored.has(key) && stored.get(key) !== said) return answer("0003", texts.cuo[1]);
    stored.set(key, said);
    cuos.add(text(r.vcuo));
    return answer("0000", texts.disposicion.replace("%s", text(r.vcuo)));
  },
  consultarTramiteResponse: (args) => {
    const asked = args?.request;
    const cuo = text(asked?.vcuo ?? asked);
    if (!cuos.has(cuo)) return answer("0001", "DATOS NO ENCONTRADOS");
    return { return: { vcodres: "0000", vdesres: "DATOS ENCONTRADOS", vcuo: cuo, cflgest: "P" } };
  },
  cargoResponse: () => answer("-1", "NO SE PUDO REGISTRAR EL CARGO"),
};

const server = http.createServer((request, response) => {
  response.statusCode = 404;
  response.end();
});
server.listen(Number(port), "127.0.0.1", () => {
  const address = `http://127.0.0.1:${port}/wsiotramite/Tramite`;
  const file = path.join(__dirname, "../../../wsdl/entity/Tramite.wsdl");
  const xml = fs.readFileSync(file, "utf8").replace("{address}", address);
  soap.listen(server, { path: "/wsiotramite/Tramite", services: { Tramite: { TramitePort: operations } }, xml });
});
