// What a page can do without: news as they come, characters left, suggestions, one press only.
"use strict";

(() => {
  const body = document.body;

  // One press sends a form once.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || event.defaultPrevented || event.target.method === "get") return;
    setTimeout(() => { button.disabled = true; }, 0);
  });
  // A page that comes back from the browser's memory is as it was before the press.
  addEventListener("pageshow", () => {
    document.querySelectorAll("button[disabled]").forEach((button) => { button.disabled = false; });
  });

  // How many characters are left, once few are.
  document.querySelectorAll("input[maxlength]:not([type=search]), textarea[maxlength]").forEach((field) => {
    const max = field.maxLength;
    if (max < 20) return;
    const told = document.createElement("p");
    told.className = "quedan";
    told.setAttribute("aria-live", "polite");
    const tell = () => {
      const left = max - [...field.value].length;
      told.textContent = left < max * 0.25 || field.value.length > 40 ? `Quedan ${left} de ${max}` : "";
      told.classList.toggle("pocos", left < max * 0.1);
    };
    field.insertAdjacentElement("afterend", told);
    field.addEventListener("input", tell);
    tell();
  });

  // Entities by name or RUC while typing.
  document.querySelectorAll("input[data-entidades]").forEach((field) => {
    const list = document.createElement("ul");
    list.className = "sugerencias";
    list.hidden = true;
    field.insertAdjacentElement("afterend", list);
    let asked = "";
    const suggest = async () => {
      const wanted = field.value.trim();
      if (wanted === asked) return;
      asked = wanted;
      if (wanted.length < 3 || /^\d{11}$/.test(wanted)) { list.hidden = true; return; }
      const answer = await fetch(`${field.dataset.entidades}?formato=json&q=${encodeURIComponent(wanted)}`);
      if (!answer.ok || field.value.trim() !== wanted) return;
      const found = await answer.json();
      list.replaceChildren(...found.map(({ ruc, nombre }) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = `${nombre} · ${ruc}`;
        button.addEventListener("click", () => {
          field.value = ruc;
          asked = ruc;
          list.hidden = true;
          const told = document.getElementById(field.dataset.nombre);
          if (told) told.textContent = nombre;
          field.focus();
        });
        item.append(button);
        return item;
      }));
      list.hidden = found.length === 0;
    };
    let waiting;
    field.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(suggest, 200); });
  });

  // A chosen entity is shown at once.
  document.querySelectorAll("form.entidad select").forEach((select) => {
    const button = select.form.querySelector("button");
    button.hidden = true;
    select.addEventListener("change", () => select.form.requestSubmit(button));
  });

  // The tab one is on is seen, however many there are.
  document.querySelectorAll(".lugares [aria-current], .pestanas [aria-current]").forEach((tab) => {
    const box = tab.closest("nav");
    const [of, within] = [tab.getBoundingClientRect(), box.getBoundingClientRect()];
    box.scrollLeft += of.left - within.left - (within.width - of.width) / 2;
  });

  // What happens while the page is open.
  if (!body.dataset.sucesos || !window.EventSource) return;
  const bell = document.querySelector("[data-novedades]");
  const live = document.getElementById("vivo");
  const refresh = async () => {
    const address = new URL(location.href);
    if (address.searchParams.has("cursor")) return;
    address.searchParams.set("filas", "1");
    const answer = await fetch(address, { headers: { accept: "application/json" } });
    if (answer.redirected || !answer.ok) return;
    const { html } = await answer.json();
    const held = document.activeElement && live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    // Made by our own server with everything from outside escaped; and the policy runs no inline script.
    live.innerHTML = html;
    const empty = document.querySelector(".vacio");
    if (empty && html) empty.hidden = true;
    if (held) live.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus();
  };
  // A document's page tells that it changed, and loads nothing by itself: a form may be half filled in.
  const changed = document.getElementById("cambiado");
  const compare = async () => {
    if (!changed || !changed.hidden) return;
    const answer = await fetch(location.pathname);
    if (answer.redirected || !answer.ok) return;
    const now = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("cambiado");
    if (now) changed.hidden = now.dataset.version === changed.dataset.version;
  };
  let waiting;
  let source;
  const follow = () => {
    if (source || document.hidden) return;
    source = new EventSource(body.dataset.sucesos);
    source.addEventListener("novedades", (event) => {
      const count = Number(event.data) || 0;
      if (!bell) return;
      bell.hidden = count === 0;
      bell.textContent = count > 99 ? "99+" : String(count);
    });
    source.addEventListener("cambio", (event) => {
      if (changed && event.data.split(" ").includes(changed.dataset.sujeto)) changed.hidden = false;
      if (!live || !event.data.split(" ").includes(live.dataset.vivo)) return;
      clearTimeout(waiting);
      waiting = setTimeout(() => refresh().catch(() => {}), 300);
    });
  };
  const leave = () => { source?.close(); source = undefined; };
  // A browser has few connections to one place: pages that nobody looks at hold none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { leave(); return; }
    follow();
    if (live) refresh().catch(() => {});
    // What happened while nobody looked was not followed.
    compare().catch(() => {});
  });
  addEventListener("pagehide", leave);
  follow();
})();
