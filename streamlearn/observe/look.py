"""How the page at / looks: its shell, with a place for the figures. No other file is needed."""

from typing import Final

SHELL: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<noscript><meta http-equiv="refresh" content="2"></noscript>
<title>streamlearn</title>
<style>
:root { --good: #2e8b6f; --bad: #d0603e; --wait: #b8892b; --line: #3b6ea5;
  --ink: #22272e; --soft: #6a737d; --paper: #f6f5f2; --card: #fff; --rule: #e4e2dc;
  color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --good: #4fb592; --bad: #e5815f; --wait: #d5ab55;
  --line: #78a9dc; --ink: #e3e6ea; --soft: #98a1ab; --paper: #16191d; --card: #1f2429;
  --rule: #30363d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 70rem; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; }
header { display: flex; align-items: baseline; gap: 1rem; }
h1 { font-size: 1.4rem; margin: 0; letter-spacing: -.01em; }
header nav { margin-left: auto; } a { color: var(--line); }
h2 { font-size: .8rem; font-weight: 600; color: var(--soft); margin: 0 0 .5rem; }
.state { display: inline-block; margin: .6rem 0 1rem; padding: .1rem .8rem; border-radius: 1rem;
  color: #fff; background: var(--wait); } .state.good { background: var(--good); }
.state.bad { background: var(--bad); } .bad { color: var(--bad); } .state.bad { color: #fff; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1rem; }
article, main > section:not(.cards), .columns > section { background: var(--card);
  border: 1px solid var(--rule); border-radius: .6rem; padding: 1rem; }
article strong { display: block; font-size: 2rem; line-height: 1.15; letter-spacing: -.02em; }
small { color: var(--soft); display: block; margin-top: .3rem; }
main > section { margin: 0 0 1rem; }
.columns { columns: 2 26rem; column-gap: 1rem; }
.columns > section { break-inside: avoid; margin: 0 0 1rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { padding: .2rem .4rem; text-align: right; border-bottom: 1px solid var(--rule); }
td:first-child, th:first-child { text-align: left; }
th { color: var(--soft); font-weight: 500; } tr:last-child td { border-bottom: 0; }
.confusion td, .confusion th { text-align: center; padding: .25rem .1rem; border: 0;
  font-size: .8rem; }
figure { margin: 0; position: relative; }
figure span { position: absolute; right: 0; color: var(--soft); font-size: .8rem; }
svg { width: 100%; height: 9rem; display: block; border-bottom: 1px solid var(--rule); }
polyline { fill: none; stroke: var(--line); stroke-width: 2; vector-effect: non-scaling-stroke; }
polygon { fill: var(--line); opacity: .12; }
figcaption { display: flex; justify-content: space-between; color: var(--soft); font-size: .8rem; }
figcaption i { font-style: normal; }
</style>
<header><h1>streamlearn</h1><nav><a href="/metrics">metrics</a></nav></header>
<main><!-- figures --></main>
<script>
const main = document.querySelector("main");
async function refresh() {
  try {
    const text = await (await fetch("/", {cache: "no-store"})).text();
    const page = new DOMParser().parseFromString(text, "text/html");
    main.innerHTML = page.querySelector("main").innerHTML;
  } catch {
    const state = document.querySelector(".state");
    state.className = "state bad";
    state.textContent = "does not answer";
  }
}
setInterval(() => { if (!document.hidden) refresh(); }, 2000);
</script>
</html>
"""
