// What the pages do beside htmx: ages that stay true, the live events, copying,
// the log, and a few keys. Everything works as documents without it.
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ---- Times: the age stays true, the title is the exact instant and zone here.
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

  function span(seconds) {
    if (seconds < 60) return Math.floor(seconds) + " s";
    if (seconds < 3600) return Math.floor(seconds / 60) + " min";
    if (seconds < 48 * 3600) return Math.floor(seconds / 3600) + " h";
    return Math.floor(seconds / 86400) + " days";
  }

  function age(at, now) {
    const seconds = (now - at) / 1000;
    if (seconds > -45 && seconds < 5) return "just now";
    return seconds < 0 ? "in " + span(-seconds) : span(seconds) + " ago";
  }

  function tellTimes(root = document) {
    const now = Date.now();
    for (const element of all("time[datetime]:not([data-fixed])", root)) {
      const at = new Date(element.dateTime);
      const text = "clock" in element.dataset ? clock.format(at) : age(at, now);
      if (element.textContent !== text) element.textContent = text;
      const title = exact.format(at);
      if (element.title !== title) element.title = title;
    }
  }
  setInterval(tellTimes, 5000);

  // ---- Live: an event names a noun and an id; what shows it is fetched again.
  const pause = 400; // at least so many milliseconds between two fetches of one element without a pace of its own
  const pending = new Map(); // by id, since an answer may put another element in the place

  function refresh(element) {
    if (pending.has(element.id)) { pending.set(element.id, "again"); return; }
    if (!("htmxPowered" in element.dataset)) { // it is new, and htmx does not listen on it yet
      setTimeout(() => { if (element.isConnected) refresh(element); }, 50);
      return;
    }
    pending.set(element.id, "busy");
    htmx.trigger(element, "live");
  }

  // The source of a request is another element once its answer is in place.
  document.addEventListener("htmx:before:request", (event) => {
    event.detail.ctx.liveId = event.detail.ctx.sourceElement.id;
  });

  document.addEventListener("htmx:finally:request", (event) => {
    const id = event.detail.ctx.liveId;
    const pace = +document.getElementById(id)?.dataset.pace || pause;
    if (pending.has(id)) setTimeout(() => {
      const again = pending.get(id) === "again";
      pending.delete(id);
      const element = document.getElementById(id);
      if (again && element) refresh(element);
    }, pace);
  });

  function concerns(element, noun, id) {
    return noun === "all" || element.dataset.live.split(" ").some((word) => word === noun || word === noun + ":" + id);
  }

  let source = null;
  let attempt = 0;
  let lost = false;

  function connection(isLost) {
    lost = isLost;
    for (const note of all("[data-offline]")) note.hidden = !isLost;
  }

  function open() {
    if (source || document.hidden || !document.querySelector("[data-live]")) return;
    const mine = source = new EventSource("/events");
    mine.addEventListener("ready", () => {
      attempt = 0;
      connection(false);
      all("[data-live]").forEach(refresh); // catch up with what was missed
    });
    mine.addEventListener("change", (event) => {
      const { noun, id } = JSON.parse(event.data);
      for (const element of all("[data-live]")) if (concerns(element, noun, id)) refresh(element);
    });
    mine.addEventListener("error", () => {
      if (mine !== source) return;
      close();
      if (document.hidden) return;
      attempt += 1;
      if (attempt > 1) {
        connection(true);
        fetch("/status", { headers: { "HX-Request": "true" } }).then((answer) => {
          if (answer.status === 401) location.reload(); // the session is over
        }, () => {});
      }
      setTimeout(open, Math.min(15000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2));
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  // Sentences that tell an age grow old though nothing happens.
  setInterval(() => {
    pending.clear();
    if (source) all("[data-live]").forEach(refresh);
  }, 60000);

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  window.addEventListener("online", () => { if (lost) open(); });

  document.addEventListener("htmx:response:error", (event) => {
    if (event.detail.ctx.response.status === 401) location.reload(); // the session is over
  });

  document.addEventListener("htmx:after:swap", () => {
    tellTimes();
    const status = document.getElementById("frame-status");
    const favicon = document.querySelector("[data-favicon]");
    if (status && favicon && favicon.getAttribute("href") !== status.dataset.faviconHref) {
      favicon.setAttribute("href", status.dataset.faviconHref);
    }
    followLog();
  });

  // ---- Log: follow, and search in the lines shown.
  const keptLines = 5000; // rows that stay in the page while following

  function followLog() {
    const log = document.getElementById("log");
    if (!log) return;
    search(log);
    if (!document.querySelector("[data-log-follow]")?.checked) return;
    const rows = all("tr[data-n]", log);
    rows.slice(0, Math.max(0, rows.length - keptLines)).forEach((row) => row.remove());
    log.scrollTop = log.scrollHeight;
  }

  function search(log) {
    const wanted = (document.querySelector("[data-log-search]")?.value ?? "").toLowerCase();
    for (const row of all("tr[data-n]", log)) {
      row.hidden = wanted !== "" && !row.cells[2].textContent.toLowerCase().includes(wanted);
    }
  }

  // A person who scrolls up wants to read; at the end the log is followed again.
  function watchScroll() {
    const log = document.getElementById("log");
    const follow = document.querySelector("[data-log-follow]");
    log?.addEventListener("wheel", (event) => { if (event.deltaY < 0) follow.checked = false; }, { passive: true });
    log?.addEventListener("scroll", () => {
      if (log.scrollTop + log.clientHeight >= log.scrollHeight - 4) follow.checked = true;
    }, { passive: true });
  }

  // ---- Copying
  async function copy(button, text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // without TLS the clipboard is closed: choose the text instead
      const target = document.getElementById(button.dataset.copyFrom ?? "");
      if (target) getSelection().selectAllChildren(target);
      return;
    }
    const word = button.querySelector("span");
    const before = word?.textContent;
    if (word) word.textContent = "Copied";
    button.classList.add("copied");
    setTimeout(() => {
      button.classList.remove("copied");
      if (word) word.textContent = before;
    }, 1600);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy], [data-copy-from]");
    if (button) {
      copy(button, button.dataset.copy ?? document.getElementById(button.dataset.copyFrom).textContent);
      return;
    }
    if (event.target.matches?.("[data-log-follow]") && event.target.checked) followLog();
  });

  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-log-search]")) search(document.getElementById("log"));
  });

  // ---- A preset of exclusions adds its patterns to the list, and takes them out.
  const linesOf = (text) => text.split("\n").filter((line) => line.trim() !== "");

  document.addEventListener("input", (event) => {
    const list = document.getElementById("excludes");
    if (!list || !event.target.form?.contains(list)) return;
    const patterns = event.target.dataset.patterns?.split("\n");
    if (patterns) {
      const others = linesOf(list.value).filter((line) => !patterns.includes(line));
      list.value = (event.target.checked ? [...others, ...patterns] : others).join("\n");
    }
    const there = linesOf(list.value);
    for (const box of all("[data-patterns]")) {
      box.checked = box.dataset.patterns.split("\n").every((pattern) => there.includes(pattern));
    }
    for (const note of all("[data-stale]")) note.hidden = false;
  }, true); // before the form as it stands is sent for its notes

  // ---- The theme changes in place, so that nothing typed is lost.
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("[data-theme-form]");
    if (!form) return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, event.submitter));
    await fetch(form.action, { method: "POST", body, redirect: "manual" });
    document.documentElement.dataset.bsTheme = event.submitter.value;
  });

  // ---- A link that changes the kind of a form takes along what was typed.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-keep] a");
    if (!link) return;
    const to = new URL(link.href);
    for (const name of link.closest("[data-keep]").dataset.keep.split(" ")) {
      const value = document.getElementById(name)?.value;
      if (value) to.searchParams.set(name, value);
    }
    link.href = to.href;
  });

  // ---- The server tells times by the clock of whoever looks, and offers what zones
  // the browser knows.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes("rm_zone=" + zone)) {
    document.cookie = "rm_zone=" + zone + "; path=/; max-age=31536000; samesite=lax";
  }

  function offerZones() {
    const list = document.querySelector("[data-zones]")?.list;
    const known = all("option", list ?? document.createElement("datalist")).map((option) => option.value);
    for (const name of list ? Intl.supportedValuesOf("timeZone") : []) if (!known.includes(name)) list.append(new Option(name));
  }

  // ---- A mark of the time line tells of itself beside it.
  function tell(mark) {
    const tip = document.querySelector(".tip") ?? document.body.appendChild(Object.assign(document.createElement("div"), { className: "tip" }));
    tip.hidden = !mark;
    if (!mark) return;
    const title = mark.querySelector("title"); // the browser would tell it a second time
    if (title) {
      mark.setAttribute("aria-label", title.textContent);
      title.remove();
    }
    tip.textContent = mark.getAttribute("aria-label");
    const box = mark.querySelector(".mark-body").getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = (box.bottom + tip.offsetHeight + 8 < innerHeight ? box.bottom + 6 : box.top - tip.offsetHeight - 6) + "px";
  }
  for (const [name, shows] of [["pointerover", true], ["focusin", true], ["pointerout", false], ["focusout", false]]) {
    document.addEventListener(name, (event) => {
      const mark = event.target.closest?.(".mark");
      if (mark || document.querySelector(".tip:not([hidden])")) tell(shows ? mark : null);
    });
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches(".filter select")) event.target.form.requestSubmit();
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      const box = document.querySelector("[data-search], [data-log-search]");
      if (box) { event.preventDefault(); box.focus(); box.select(); }
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    tellTimes();
    offerZones();
    watchScroll();
    followLog();
    open();
  });
})();
