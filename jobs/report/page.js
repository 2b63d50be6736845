"use strict";
(() => {
  const get = id => document.getElementById(id);

  const findCase = get("find-case");
  if (findCase) {
    findCase.hidden = false;
    findCase.addEventListener("input", () => {
      const words = findCase.value.toLowerCase();
      for (const row of get("case-rows").rows) {
        row.classList.toggle("missed", !row.textContent.toLowerCase().includes(words));
      }
    });
  }

  const findLine = get("find-line");
  if (!findLine) return;
  get("console-tools").hidden = false;
  const lines = [...document.querySelectorAll("#console-lines > li[id]")];
  let hits = [], now = -1, waiting;

  const show = i => {
    if (hits[now]) hits[now].classList.remove("now");
    now = hits.length ? (i + hits.length) % hits.length : -1;
    if (hits[now]) {
      hits[now].classList.add("now");
      hits[now].scrollIntoView({block: "center"});
    }
    get("find-count").value = !findLine.value ? "" : hits.length ? `${now + 1} of ${hits.length}` : "nothing found";
  };
  const search = () => {
    clearTimeout(waiting);
    waiting = undefined;
    const words = findLine.value.toLowerCase();
    for (const line of hits) line.classList.remove("hit", "now");
    hits = words ? lines.filter(line => line.lastElementChild.textContent.toLowerCase().includes(words)) : [];
    for (const line of hits) line.classList.add("hit");
    now = -1;
    show(0);
  };
  const step = by => waiting ? search() : show(now + by);

  findLine.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 200);
  });
  findLine.addEventListener("keydown", event => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
  });
  get("find-before").addEventListener("click", () => step(-1));
  get("find-next").addEventListener("click", () => step(1));
})();
