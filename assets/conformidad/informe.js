"use strict";
(() => {
  const form = document.getElementById("filtro"), search = document.getElementById("buscar");
  const cases = [...document.querySelectorAll("details.caso")];
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const texts = cases.map((c) => plain(c.textContent));
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  const filter = () => {
    const wanted = new Set([...form.querySelectorAll("input[name=v]:checked")].map((i) => i.value));
    const words = plain(search.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    cases.forEach((c, n) => {
      const fits = wanted.has(c.dataset.v) && words.every((w) => texts[n].includes(w));
      c.hidden = !fits;
      shown += fits ? 1 : 0;
    });
    for (const group of document.querySelectorAll("section.grupo")) {
      group.hidden = !group.querySelector("details.caso:not([hidden])");
    }
    document.getElementById("vacio").hidden = shown > 0;
    document.getElementById("cuenta").textContent = `${shown} de ${cases.length} casos`;
  };
  form.addEventListener("input", filter);
  const open = document.getElementById("abrir");
  open.addEventListener("click", () => {
    const all = cases.some((c) => !c.hidden && !c.open);
    cases.filter((c) => !c.hidden).forEach((c) => { c.open = all; });
    open.textContent = all ? "Cerrar todos" : "Abrir todos";
  });
  document.getElementById("imprimir").addEventListener("click", () => window.print());
  // What is closed would not be printed.
  window.addEventListener("beforeprint", () => cases.forEach((c) => { c.open = true; }));
  filter();
})();
