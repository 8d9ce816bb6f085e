// What is wider than its place says so, and takes the keyboard's arrows.
"use strict";
{
  const WIDE = ".bd-article :is(table, mjx-container[display='true'], .cell_output pre)";

  const scroller = (part) => {
    for (let box = part; box && !box.matches(".bd-article"); box = box.parentElement) {
      if (/auto|scroll/.test(getComputedStyle(box).overflowX)) return box;
    }
    return null;
  };
  const mark = () => {
    for (const box of new Set([...document.querySelectorAll(WIDE)].map(scroller))) {
      if (!box) continue;
      const cut = box.scrollWidth > box.clientWidth + 1;
      let hint = box.nextElementSibling;
      if (!hint?.matches(".scroll-hint")) hint = null;
      if (cut && !hint) {
        hint = document.createElement("p");
        hint.className = "scroll-hint";
        hint.textContent = "scroll sideways →";
        hint.setAttribute("aria-hidden", "true");
        box.after(hint);
      }
      if (hint) hint.hidden = !cut;
      if (cut) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  // A formula has its width when it is set, and its letters have come.
  const typeset = () => window.MathJax?.startup?.promise?.then(() => document.fonts.ready);
  addEventListener("load", () => (mark(), typeset()?.then(mark)));
  document.fonts.addEventListener("loadingdone", mark);
  addEventListener("resize", mark);
  // What was folded had no width.
  document.addEventListener("toggle", mark, true);
}
