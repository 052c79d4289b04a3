// Keeps a page up to date, and serves its keys. Without it pages work, too: it only replaces parts by what the server made of them.
"use strict";

(() => {
  const main = document.getElementById("main");
  const light = document.getElementById("live");
  const gone = document.getElementById("gone");

  // ---- Parts that the server sends ----

  // Parts that came while somebody wrote in their place, by their ids.
  const held = new Map();

  // Returns whether replacing a part would disturb somebody: a form in it is open, or the text in it is being selected.
  const isInUse = (part) => {
    const open = part.querySelector("details.action[open]");
    const at = document.activeElement;
    const writes = part.contains(at) && at.matches("input, textarea, select");
    const selection = document.getSelection();
    const selects = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
    return Boolean(open || writes || selects);
  };

  // Finds the same element again after its part was replaced.
  const again = (part, element) => {
    if (element.id) return part.querySelector("#" + CSS.escape(element.id));
    if (element.matches("a[href]")) {
      return part.querySelector(`a[href="${CSS.escape(element.getAttribute("href"))}"]`);
    }
    const same = (root) => [...root.querySelectorAll(element.tagName)];
    return same(part)[same(element.closest("[id]") ?? part).indexOf(element)];
  };

  const swap = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    const fresh = template.content.firstElementChild;
    const old = fresh && fresh.id && document.getElementById(fresh.id);
    if (!old || !main.contains(old)) return;
    if (old.outerHTML === fresh.outerHTML) return;
    if (isInUse(old)) {
      held.set(fresh.id, html);
      return;
    }
    held.delete(fresh.id);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const next = focused && again(fresh, focused);
    // What was opened stays open.
    const before = [...old.querySelectorAll("details")];
    [...fresh.querySelectorAll("details")].forEach((details, at) => {
      if (before[at]) details.open = before[at].open;
    });
    const chosen = old.querySelector("tr.at");
    const row = chosen && chosen.id && fresh.querySelector("#" + CSS.escape(chosen.id));
    if (row) row.classList.add("at");
    const wide = [...old.querySelectorAll(".wide")].map((box) => box.scrollLeft);
    old.replaceWith(fresh);
    fresh.querySelectorAll(".wide").forEach((box, at) => { box.scrollLeft = wide[at] ?? 0; });
    if (next) next.focus({ preventScroll: true });
  };

  const release = () => {
    for (const html of [...held.values()]) swap(html);
  };

  // ---- The stream ----

  const BEHIND = 12_000; // The server says something every 5 seconds.
  let source = null;
  let heard = Date.now();
  let isOpen = false;
  let retryAt = 0;

  const show = () => {
    if (!light) return;
    const silent = Date.now() - heard;
    const seconds = Math.round(silent / 1000);
    const [state, words] = !isOpen
      ? ["lost", `lost for ${seconds} s`]
      : silent > BEHIND ? ["behind", `behind ${seconds} s`] : ["connected", "live"];
    light.hidden = false;
    light.dataset.state = state;
    const place = light.querySelector(".words");
    if (place.textContent !== words) place.textContent = words;
    gone.hidden = isOpen || silent < 3000;
  };

  const connect = () => {
    source = new EventSource(main.dataset.live);
    source.onopen = () => { isOpen = true; heard = Date.now(); show(); };
    source.onerror = () => {
      if (isOpen) heard = Date.now();
      isOpen = false;
      // A browser gives up after an answer that is no stream: of a server that is about to stop, or to one who is logged out.
      if (source.readyState === EventSource.CLOSED) retryAt = Date.now() + 3000;
      show();
    };
    const on = (name, act) => source.addEventListener(name, (event) => {
      heard = Date.now();
      act(event.data);
      show();
    });
    on("part", swap);
    on("beat", release);
    on("reload", () => location.reload());
    on("end", () => { source.close(); isOpen = true; });
  };

  if (main && main.dataset.live) {
    connect();
    show();
    setInterval(() => {
      if (source.readyState === EventSource.CLOSED && !isOpen && Date.now() > retryAt) {
        retryAt = Date.now() + 3000;
        connect();
      }
      show();
    }, 1000);
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
    document.addEventListener("focusout", () => setTimeout(release, 0));
    document.addEventListener("toggle", () => setTimeout(release, 0), true);
  }

  // ---- Keys ----

  const keys = document.getElementById("keys");
  const rows = () => [...document.querySelectorAll("tr[data-row]")];

  const move = (by) => {
    const all = rows();
    if (all.length === 0) return;
    const at = all.findIndex((row) => row.classList.contains("at"));
    const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1);
    if (at >= 0) all[at].classList.remove("at");
    all[next].classList.add("at");
    const link = all[next].querySelector("a");
    if (link) link.focus({ preventScroll: true });
    all[next].scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (at.matches("input, textarea, select")) {
      if (event.key === "Escape") at.blur();
      return;
    }
    if (!keys || keys.open) return;
    switch (event.key) {
      case "/": {
        const field = document.querySelector("main input[data-filter]") ?? document.querySelector(".search input");
        if (!field) return;
        field.focus();
        field.select();
        break;
      }
      case "j": move(1); break;
      case "k": move(-1); break;
      case "Enter": {
        // A focused link or button opens itself.
        if (at.matches("a, button, summary")) return;
        document.querySelector("tr.at a")?.click();
        return;
      }
      case "?": keys.showModal(); break;
      default: return;
    }
    event.preventDefault();
  });

  // ---- A part of the timeline is chosen with the pointer ----

  const seconds = (form, name) => form.querySelector(`input[name="${name}"]`);
  document.addEventListener("pointerdown", (down) => {
    const scale = down.target.closest("svg.scale");
    const form = document.querySelector('form[aria-label="Part of the timeline"]');
    if (!scale || !form || !scale.dataset.axis) return;
    // The axis: pairs of a place in percent and the seconds there.
    const axis = scale.dataset.axis.split(" ").map((pair) => pair.split(":").map(Number));
    const time = (x) => {
      const box = scale.getBoundingClientRect();
      const place = Math.min(Math.max((x - box.left) / box.width * 100, 0), 100);
      const next = axis.findIndex(([at]) => at >= place);
      if (next <= 0) return axis[Math.max(next, 0)][1];
      const [[left, from], [right, to]] = [axis[next - 1], axis[next]];
      return from + (to - from) * (place - left) / Math.max(right - left, 1e-9);
    };
    const begin = down.clientX;
    addEventListener("pointerup", (up) => {
      if (Math.abs(up.clientX - begin) < 5) return;
      const [from, to] = [time(begin), time(up.clientX)].sort((a, b) => a - b);
      seconds(form, "from").value = from.toFixed(6);
      seconds(form, "to").value = to.toFixed(6);
      form.submit();
    }, { once: true });
    down.preventDefault();
  });
})();
