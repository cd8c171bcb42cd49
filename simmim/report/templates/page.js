// Tables that sort by a click or a key on a column's heading, and links that open what they lead into. Nothing here is needed to read.
const value = (cell) => {
  const text = cell.textContent.trim().replace(/−/g, "-").replace(/,(?=\d{3}\b)/g, "");
  const number = text.match(/^(?:[~+]|< )?(-?\d+(\.\d+)?)/);
  return number ? Number(number[1]) : text;
};
const compare = (one, other) => (typeof one === "number" ? one - other : one.localeCompare(other));

function sort(heading) {
  const row = heading.parentElement, body = heading.closest("table").tBodies[0];
  const down = heading.getAttribute("aria-sort") === "ascending", column = [...row.cells].indexOf(heading);
  for (const each of row.cells) each.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const keyed = [...body.rows].map((line) => [value(line.cells[column]), line]);
  const isNumber = ([key]) => typeof key === "number", sorted = keyed.some(isNumber) ? keyed.filter(isNumber) : keyed;
  sorted.sort(([one], [other]) => (down ? -1 : 1) * compare(one, other));
  const rest = keyed.filter((each) => !sorted.includes(each)); // among numbers, what has none stays below either way
  body.append(...[...sorted, ...rest].map(([, line]) => line));
}

for (const heading of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  button.addEventListener("click", () => sort(heading));
  heading.append(button);
  heading.setAttribute("aria-sort", "none");
}

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = target && target.closest("details:not([open])");
  if (folded) {
    folded.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", openTarget);
openTarget();
