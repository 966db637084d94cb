// Helpers, and the charts: each is an SVG and a table of the same figures.
const SVG = "http://www.w3.org/2000/svg";
const by = (id) => document.getElementById(id);
const make = (tag, text, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
};
const draw = (tag, attributes, text) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
};
const digits = (value) => value >= 100 ? Math.round(value).toString() : Number(value.toPrecision(3)).toString();
const scaled = (value, step, units) => {
  let unit = 0;
  while (Math.abs(value) >= step && unit < units.length - 1) { value /= step; unit += 1; }
  return digits(value) + units[unit];
};
const bytes = (value) => value == null ? "–" : scaled(value, 1000, [" B", " kB", " MB", " GB", " TB"]);
const count = (value) => value == null ? "–" : value < 10000 ? digits(value) : scaled(value, 1000, ["", " k", " M", " G"]);
const seconds = (value) => value == null ? "–" : value < 1 ? digits(value * 1000) + " ms" : digits(value) + " s";
const long = (value) => value < 120 ? Math.round(value) + " s" : value < 7200 ? Math.round(value / 60) + " min" : value < 172800 ? Math.round(value / 3600) + " h" : Math.round(value / 86400) + " days";
// Times are of UTC, as in the log and in the names of partitions.
const iso = (unix) => new Date(unix * 1000).toISOString();
const clock = (text) => text ? new Date(text).toISOString().slice(11, 19) : "–";
const date = (text) => text ? new Date(text).toISOString().slice(0, 19).replace("T", " ") : "–";
const percent = (part, all) => all > 0 ? Math.round(100 * part / all) + " %" : "–";

function table(heads, rows, numbers, wide) {
  const right = new Set(numbers || []), free = new Set(wide || []);
  const element = make("table"), head = make("tr"), body = make("tbody"), top = make("thead");
  heads.forEach((text, n) => {
    const cell = make("th", text, right.has(n) ? "n" : "");
    cell.scope = "col";
    head.append(cell);
  });
  top.append(head);
  for (const row of rows) {
    const line = make("tr");
    row.forEach((text, n) => {
      const cell = make("td", undefined, right.has(n) ? "n" : free.has(n) ? "wide" : "");
      cell.append(text);
      line.append(cell);
    });
    body.append(line);
  }
  element.append(top, body);
  return element;
}
// A part that can be opened, and is filled only while it is open.
function unfolding(title, label, fill) {
  const details = make("details"), box = make("div", undefined, "scroll");
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", label);
  details.append(make("summary", title), box);
  details.addEventListener("toggle", () => details.open && fill(box));
  details.refresh = () => details.open && fill(box);
  return details;
}

const CHARTS = [
  { title: "Lines received and rows landed, a second", unit: count, mean: true, lines: [["lines_per_second", "received"], ["landed_rows_per_second", "landed"]] },
  { title: "Time to a 200", unit: seconds, join: 20, lines: [["ack_p50_seconds", "half are faster (p50)"], ["ack_p99_seconds", "99 of 100 are faster (p99)"]], limit: (l) => [l.ack_limit_seconds, "senders give up"], show: 0.1 },
  { title: "Waiting in the journal", unit: bytes, lines: [["pending_bytes", "not landed yet"]], limit: (l) => [l.journal_quota_bytes, "quota"], show: 0.02, note: (l) => l.journal_full_in_seconds == null ? "" : "full in " + long(l.journal_full_in_seconds) },
  { title: "Memory", unit: bytes, lines: [["working_memory_bytes", "bodies and rows"], ["resident_memory_bytes", "whole process"]], limit: (l) => [l.body_memory_limit_bytes + l.buffered_limit_bytes, "budget of bodies and rows"] },
];
const rings = { columns: [], seconds: [], minutes: [] };
let day = false;

// Makes the card of a chart. What it returns draws the chart anew.
function chart(spec) {
  const card = make("section", undefined, "card"), key = make("div", undefined, "key");
  const svg = draw("svg", { role: "img" });
  card.append(make("h2", spec.title), key, svg);
  const at = (name) => rings.columns.indexOf(name);
  const shown = () => day ? rings.minutes : rings.seconds;
  const details = unfolding("As a table", spec.title + ", as a table", (box) => {
    const points = shown(), step = Math.max(1, Math.floor(points.length / 12));
    const rows = points.filter((_, n) => (points.length - 1 - n) % step === 0).map((point) =>
      [iso(point[0]).slice(11, 19), ...spec.lines.map(([name]) => spec.unit(point[at(name)]))]);
    box.replaceChildren(table(["time (UTC)", ...spec.lines.map(([, label]) => label)], rows, spec.lines.map((_, n) => n + 1)));
  });
  card.append(details);
  by("charts").append(card);
  return (limits) => {
    const points = shown();
    const values = (name) => points.map((point) => point[at(name)]);
    // Of rates, the mean of the last seconds, as at the stations: bulks come at once, and then none for a while.
    const latest = (name) => {
      const all = values(name).filter((v) => v != null).slice(spec.mean && !day ? -10 : -1);
      return all.length ? all.reduce((sum, v) => sum + v, 0) / all.length : null;
    };
    const keys = spec.lines.map(([name, label], n) => {
      const part = make("span");
      part.append(make("span", "━ ", n ? "k2" : "k1"), label + ": " + spec.unit(latest(name)));
      return part;
    });
    const limit = spec.limit && spec.limit(limits);
    if (limit) {
      const part = make("span");
      part.append(make("span", "╌ ", "k3"), limit[1] + ": " + spec.unit(limit[0]));
      keys.push(part);
    }
    const note = spec.note ? spec.note(limits) : "";
    if (note) keys.push(make("strong", note));
    key.replaceChildren(...keys);
    const width = Math.max(240, card.clientWidth - 30), height = 170, left = 62, right = 8, top = 8, bottom = 22;
    let most = 0;
    for (const [name] of spec.lines) for (const value of values(name)) if (value > most) most = value;
    // A limit far above would make the lines flat; its value stands in the key.
    const limited = limit && most >= limit[0] * (spec.show || 0.2);
    if (limited) most = Math.max(most, limit[0]);
    most = most > 0 ? most * 1.08 : 1;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-label", spec.title + ": " + keys.map((part) => part.textContent).join(", "));
    const end = points.length ? points[points.length - 1][0] : Math.floor(Date.now() / 1000);
    // Of a young process, what there is fills the chart.
    const age = points.length ? end - points[0][0] : 0;
    const span = (day ? [3600, 21600, 86400] : [60, 120, 300, 600]).find((span) => age <= span) || (day ? 86400 : 600);
    const x = (t) => left + (width - left - right) * (1 - (end - t) / span);
    const y = (v) => top + (height - top - bottom) * (1 - v / most);
    const drawn = [];
    for (const part of [0, 0.5, 1]) {
      const value = most * part;
      drawn.push(draw("line", { class: "rule", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      drawn.push(draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, spec.unit(value)));
    }
    const parts = width < 420 ? 2 : 4;
    for (let part = 0; part <= parts; part += 1) {
      const t = end - span * (1 - part / parts);
      drawn.push(draw("text", { x: x(t), y: height - 5, "text-anchor": part === 0 ? "start" : part === parts ? "end" : "middle" }, iso(t).slice(11, span < 600 ? 19 : 16)));
    }
    if (limited) drawn.push(draw("line", { class: "limit", x1: left, x2: width - right, y1: y(limit[0]), y2: y(limit[0]) }));
    spec.lines.forEach(([name], n) => {
      let path = "", gap = Infinity;
      const column = at(name), style = n ? "two" : "one", join = spec.join && !day ? spec.join : 0;
      points.forEach((point, nth) => {
        const value = point[column];
        if (value == null) { gap += 1; return; }
        const pen = gap <= join;
        gap = 0;
        // One without neighbours would be no line.
        if (!pen && !points.slice(nth + 1, nth + 2 + join).some((next) => next[column] != null)) drawn.push(draw("circle", { class: "dot " + style, r: 2, cx: x(point[0]).toFixed(1), cy: y(value).toFixed(1) }));
        path += (pen ? "L" : "M") + x(point[0]).toFixed(1) + " " + y(value).toFixed(1);
      });
      drawn.push(draw("path", { class: style, d: path || "M0 0" }));
    });
    svg.replaceChildren(...drawn);
    details.refresh();
  };
}
