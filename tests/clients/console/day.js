// The staff's and the operator's day in Debian's Chromium, on consoles that the test started. Every page is judged by
// axe-core, kept as a picture at 1440 and 390 pixels, and must log no error and ask nothing of another host.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const plan = JSON.parse(process.argv[2]); // base, password, pdf, shots, despacho, evil
const seen = [];
let failures = 0;
const fail = (what) => { failures += 1; console.log(`FALLA ${what}`); };
const must = (holds, what) => { if (!holds) fail(what); };

const watch = (page, name) => {
  page.on("console", (message) => { if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) fail(`${name}: consola: ${message.text()}`); });
  page.on("pageerror", (error) => fail(`${name}: ${error.message}`));
  page.on("dialog", (dialog) => { fail(`${name}: un diálogo: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(plan.base) && !/^(data|blob|about|chrome|chrome-extension):/.test(url)) fail(`${name}: pide ${url}`);
  });
};

const enter = async (page, account) => {
  await page.goto(`${plan.base}/ingresar`);
  await page.fill("#cuenta", account);
  await page.fill("#contrasena", plan.password);
  await page.click("button[type=submit]");
  await page.waitForURL((url) => url.pathname !== "/ingresar");
};

// Serious findings, the width, and a picture of the page as it is.
const judge = async (page, name) => {
  for (const [width, height] of [[390, 844], [1440, 900]]) {
    await page.setViewportSize({ width, height });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    must(over <= 0, `${name} a ${width}: se sale ${over} px`);
    await page.screenshot({ path: path.join(plan.shots, `${name}-${width}.png`), fullPage: true });
  }
  await page.addScriptTag({ content: "" }).catch(() => {});
  const found = await page.evaluate(`(() => { ${axe}; return axe.run(document, { iframes: false }); })()`);
  for (const one of found.violations.filter((one) => ["serious", "critical"].includes(one.impact))) {
    fail(`${name}: axe ${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
  }
  seen.push(name);
};

const visit = async (page, address, name) => {
  const answer = await page.goto(plan.base + address);
  must(answer.status() < 400, `${name}: ${answer.status()}`);
  await judge(page, name);
};

const staff = async (browser) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  watch(page, "mesa");
  await page.goto(`${plan.base}/ingresar`);
  await judge(page, "ingresar");
  await page.fill("#cuenta", "mesa");
  await page.fill("#contrasena", "no es esta");
  await page.click("button[type=submit]");
  must(await page.getByText("no corresponden").isVisible(), "una contraseña equivocada se dice");
  await enter(page, "mesa");
  await judge(page, "entrada");
  const first = page.locator(".fila.nueva a.principal").first();
  const subject = await first.innerText();
  await first.click();
  await page.waitForSelector("iframe.pdf");
  await judge(page, "recibido");
  // Strings from outside are text, whatever they say.
  must((await page.content()).includes("&lt;img") || !plan.evil, "lo de fuera se muestra como texto");
  await page.click("summary:has-text('Recepcionar')");
  await page.fill("#recepcionar-numero_registro", "2026-000777");
  await page.fill("#recepcionar-unidad", "GERENCIA MUNICIPAL");
  await page.click("button:has-text('Revisar el cargo')");
  await page.waitForSelector("h1:has-text('Revise antes de enviar')");
  must(await page.getByText("2026-000777").first().isVisible(), "la confirmación dice el número");
  await judge(page, "confirmar-cargo");
  await page.click("button:has-text('Emitir el cargo')");
  await page.waitForSelector("text=El cargo se emitió");
  await judge(page, "recepcionado");
  await visit(page, "/entrada?estado=todos", "entrada-todos");
  must(!(await page.locator(".fila.nueva").filter({ hasText: subject }).count()), "lo abierto deja de estar sin abrir");

  // Another one is observed.
  const waiting = `${plan.base}/entrada`;
  await page.goto(waiting);
  await page.locator(".fila a.principal").first().click();
  await page.click("summary:has-text('Observar')");
  await page.fill("#observar-numero_registro", "2026-000778");
  await page.fill("#observar-unidad", "GERENCIA MUNICIPAL");
  await page.selectOption("#observar-motivo", { index: 2 });
  await page.fill("#observar-detalle", "Falta el plano <b>1</b>.");
  await page.click("button:has-text('Revisar la observación')");
  must(await page.getByText("Falta el plano <b>1</b>.").first().isVisible(), "la observación se muestra tal cual");
  await page.click("button:has-text('Observar y enviar')");
  await page.waitForSelector("text=La observación se emitió");
  await judge(page, "observado");

  // A document is sent by form.
  await visit(page, "/salida/nuevo", "nuevo");
  await page.setInputFiles("#documento", plan.pdf);
  await page.fill("#destino", plan.destino);
  for (const [name, text] of [["destinatario\\.nombre", "MARÍA QUISPE"], ["destinatario\\.cargo", "JEFA"], ["destinatario\\.unidad", "OTI"],
    ["asunto", "Enviado desde la consola"], ["folios", "1"], ["numero_documento", "OFICIO 9-2026"], ["unidad_remitente", "MESA DE PARTES"]]) {
    await page.fill(`#${name}`, text);
  }
  await page.fill("#numero_registro", "2026-000900");
  await page.fill("#remitente\\.numero_documento", "123");
  await page.click("button:has-text('Revisar antes de enviar')");
  must(await page.locator(".error").first().isVisible(), "un DNI de 3 dígitos se señala en su campo");
  await judge(page, "nuevo-con-errores");
  await page.fill("#remitente\\.numero_documento", "40633367");
  await page.setInputFiles("#documento", plan.pdf);
  await page.click("button:has-text('Revisar antes de enviar')");
  await page.waitForSelector("h1:has-text('Revise antes de enviar')");
  await judge(page, "confirmar-envio");
  await page.click("button:has-text('Enviar el documento')");
  await page.waitForSelector("text=quedó guardado y en cola");
  await judge(page, "enviado");
  await visit(page, "/salida", "salida");
  await visit(page, "/entidades", "entidades");
  await visit(page, "/novedades", "novedades");
  await visit(page, "/estadisticas", "estadisticas");
  await visit(page, "/cuenta", "cuenta");
  const denied = await page.goto(`${plan.base}/operacion`);
  must(denied.status() === 403, "mesa de partes no opera");
  await judge(page, "sin-permiso");
  await page.goto(`${plan.base}/entrada`);
  await page.click("header button:has-text('Salir')");
  await page.waitForURL("**/ingresar");
  const out = await page.goto(`${plan.base}/entrada`);
  must(out.url().includes("/ingresar"), "quien salió no sigue dentro");
  await context.close();
};

const operator = async (browser) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  watch(page, "admin");
  await enter(page, "admin");
  await visit(page, "/operacion", "operacion");
  await visit(page, "/operacion/cola", "cola");
  const stuck = page.locator(".fila a.principal").first();
  if (await stuck.count()) {
    await stuck.click();
    await page.waitForSelector("text=Por qué está así");
    await judge(page, "entrega");
    await page.fill("#reintentar-motivo", "Prueba de la consola");
    await page.click("button:has-text('Intentar ahora')");
    await page.waitForSelector("text=Se intentará ahora");
  } else {
    fail("en la cola no hay nada que explicar");
  }
  await visit(page, "/auditoria", "auditoria");
  await page.click("button:has-text('Verificar todo')");
  await page.waitForSelector("text=Está íntegro");
  await judge(page, "verificacion");
  await visit(page, "/personas", "personas");
  await context.close();
};

// Reading and the main actions without any script.
const plain = async (browser) => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  watch(page, "sin scripts");
  await enter(page, "mesa");
  must(await page.locator("h1:has-text('Bandeja de entrada')").isVisible(), "sin scripts se entra");
  await page.locator(".fila a.principal").first().click();
  await page.click("summary:has-text('Registrar')");
  await page.fill("#registrar-numero_registro", "2026-000779");
  await page.click("form[action$=registrar] button");
  await page.waitForSelector("text=quedó registrado");
  await page.click("summary:has-text('Recepcionar')");
  await page.fill("#recepcionar-unidad", "ALCALDÍA");
  await page.click("button:has-text('Revisar el cargo')");
  await page.click("button:has-text('Emitir el cargo')");
  await page.waitForSelector("text=El cargo se emitió");
  await context.close();
};

(async () => {
  const began = Date.now();
  const browser = await chromium.launch({ executablePath: plan.chromium, args: ["--no-sandbox"] });
  for (const part of [staff, operator, plain]) {
    await part(browser).catch((error) => fail(`${part.name}: ${error.message.split("\n").slice(0, 4).join(" ")}`));
  }
  await browser.close();
  console.log(`${seen.length} páginas en ${Date.now() - began} ms, ${failures} fallas`);
  process.exit(failures ? 1 : 0);
})();
