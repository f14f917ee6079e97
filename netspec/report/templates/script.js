// A heading with `data-by` sorts its table: whole bodies change places, so that what belongs together stays together.
for (const heading of document.querySelectorAll("th[data-by]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => {
    const table = heading.closest("table"), column = heading.cellIndex, words = heading.dataset.by === "words";
    const before = heading.getAttribute("aria-sort");
    const sign = (before === null ? words : before === "descending") ? 1 : -1;
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const value = (body) => body.rows[0].cells[column].dataset.value;
    const bodies = [...table.tBodies].sort((a, b) => words
      ? sign * value(a).localeCompare(value(b), "en", { numeric: true })
      : sign * (value(a) - value(b)));
    bodies.forEach((body) => table.insertBefore(body, table.tFoot));
  });
}
// A link to a line that is folded away opens what hides it.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const body = target && target.closest("tbody");
  if (body) body.querySelectorAll("details").forEach((each) => { each.open = true; });
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
if (location.hash) reveal();
// A box of the picture leads to the nodes that it stands for.
const nodes = JSON.parse(document.getElementById("boxes").textContent);
document.querySelector(".picture").addEventListener("click", (event) => {
  const box = event.target.closest("[data-box]");
  if (box && nodes[box.dataset.box]) location.hash = `node-${nodes[box.dataset.box]}`;
});
