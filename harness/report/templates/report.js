(function () {
  "use strict";
  const root = document.documentElement;
  const said = document.getElementById("said");
  const say = (text) => { said.textContent = text; };
  const all = (selector, within) => Array.from((within || document).querySelectorAll(selector));
  root.classList.add("scripted");

  // Theme: the reader's choice, else that of the system.
  const theme = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const kept = (value) => {
    try { return value === undefined ? localStorage.getItem("harness-theme") : localStorage.setItem("harness-theme", value); }
    catch (refused) { return null; } // a browser may keep nothing for files
  };
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const showTheme = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-pressed", String(isDark()));
    theme.setAttribute("aria-label", "Dark colours");
  };
  const chosen = kept();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept(root.dataset.theme);
    showTheme();
  });
  system.addEventListener("change", showTheme);
  showTheme();

  // Sorting: bodies of a table move, each a row with what belongs to it.
  const valueOf = (body, column) => {
    const cell = body.querySelector("tr").children[column];
    const text = cell.dataset.v;
    if (text === undefined) return null;
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));
  const joinTies = (table) => {
    const bodies = all("tbody.row", table).filter((body) => !body.hidden);
    const same = (a, b) => Boolean(a && b && a.dataset.rank !== undefined && a.dataset.rank === b.dataset.rank);
    bodies.forEach((body, i) => {
      body.classList.toggle("tied-up", same(body, bodies[i - 1]));
      body.classList.toggle("tied-down", same(body, bodies[i + 1]));
    });
  };
  const sort = (table, heading, column) => {
    const other = { ascending: "descending", descending: "ascending" };
    const order = other[heading.getAttribute("aria-sort")] || heading.dataset.first;
    const sign = order === "ascending" ? 1 : -1;
    const bodies = all("tbody.row", table);
    bodies.sort((a, b) => {
      const x = valueOf(a, column), y = valueOf(b, column);
      if (x === null || y === null) return (x === null) - (y === null) || a.dataset.order - b.dataset.order;
      return sign * compare(x, y) || a.dataset.order - b.dataset.order;
    });
    bodies.forEach((body) => table.append(body));
    all("thead th", table).forEach((th) => th.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", order);
    joinTies(table);
    say("Sorted by " + heading.textContent.trim() + ", " + order);
  };
  all("table.ranking, table.sortable").forEach((table) => {
    all("thead th", table).forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => sort(table, heading, column));
    });
  });

  // Filtering: every word must occur in the row.
  all("input.filter").forEach((input) => {
    const table = document.getElementById(input.dataset.table);
    const bodies = all("tbody.row", table);
    const texts = new Map(bodies.map((body) => [body, body.querySelector("tr").textContent.toLowerCase()]));
    const count = input.closest(".tools").querySelector(".count");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      bodies.forEach((body) => {
        body.hidden = !words.every((word) => texts.get(body).includes(word));
        shown += !body.hidden;
      });
      count.textContent = words.length ? shown + " of " + bodies.length + " rows" : "";
      joinTies(table);
    });
  });

  // A row opens to the cells behind it.
  const open = (body, wanted) => {
    const more = body.querySelector("tr.more"), button = body.querySelector(".expand");
    more.hidden = !wanted;
    more.querySelector("details").open = true;
    button.setAttribute("aria-expanded", String(wanted));
  };
  all("table.ranking tbody.row").forEach((body) => {
    const more = body.querySelector("tr.more"), button = document.createElement("button");
    more.id = body.id + "-cells";
    button.type = "button";
    button.className = "expand";
    button.textContent = "cells";
    button.setAttribute("aria-controls", more.id);
    button.setAttribute("aria-label", more.querySelector("summary").textContent.trim());
    body.querySelector("th.who").append(button);
    button.addEventListener("click", () => open(body, more.hidden));
    open(body, false);
  });
  const openTarget = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.matches("tbody.row")) { target.hidden = false; open(target, true); }
  };
  window.addEventListener("hashchange", openTarget);
  openTarget();

  // A pair in words, for fingers as for pointers.
  all(".pairs").forEach((section) => {
    const words = section.querySelector(".words");
    section.addEventListener("click", (event) => {
      const cell = event.target.closest("td[title]");
      if (!cell) return;
      all("td.chosen", section).forEach((other) => other.classList.remove("chosen"));
      cell.classList.add("chosen");
      words.textContent = cell.title;
    });
  });

  // Keys: copied by a button, selected whole by a click.
  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };
  const copy = (node, button) => {
    const done = (words) => { button.textContent = words; say(words); setTimeout(() => { button.textContent = "copy"; }, 1500); };
    const byHand = () => { select(node); done(document.execCommand("copy") ? "copied" : "selected"); };
    if (navigator.clipboard) navigator.clipboard.writeText(node.textContent).then(() => done("copied"), byHand);
    else byHand();
  };
  all("code.key").forEach((node) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    button.setAttribute("aria-label", "Copy " + node.textContent.slice(0, 12));
    node.after(button);
    button.addEventListener("click", () => copy(node, button));
  });

  // All or none of the curves in colour.
  all("[data-pick]").forEach((button) => {
    button.addEventListener("click", () => {
      all(".pick", button.closest("fieldset")).forEach((box) => { box.checked = button.dataset.pick === "all"; });
    });
  });

  // On a narrow screen the contents begin closed.
  if (window.matchMedia("(max-width: 72rem)").matches) document.querySelector(".contents details").open = false;
})();
